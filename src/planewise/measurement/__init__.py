"""Measures masks in physical units. No module depends on a model: label volumes of any method can be measured."""
