"""Corrections of a label volume: actions on its objects, each journalled before it is applied, undone byte for byte."""
