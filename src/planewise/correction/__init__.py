"""Corrections of a label volume: actions on its objects, journalled before they are applied, undone byte for byte."""
