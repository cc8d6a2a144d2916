"""Scores of label volumes. Nothing here depends on a model: files of any method can be scored."""
