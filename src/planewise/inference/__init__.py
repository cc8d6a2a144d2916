"""From 2D predictions to labelled volumes."""
