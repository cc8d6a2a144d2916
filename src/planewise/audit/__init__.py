"""Audits: a few items of a result, drawn at random and corrected, give its findings intervals that hold."""
