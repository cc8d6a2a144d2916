"""Measures masks in physical units. Nothing here depends on a model: label volumes of any method can be measured."""
