"""Serial scans of one patient: registered and compared; only what exceeds a repeated scan's variation is a change."""
