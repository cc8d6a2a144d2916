"""Scores of label volumes. Nothing here knows a model: any method's files can be scored."""
