"""Serial scans of one patient: registered, compared, and called changed only beyond what a repeated scan would show."""
