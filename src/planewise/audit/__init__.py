"""Audits: from a few items of a result, drawn at random and corrected, its findings get valid confidence intervals."""
