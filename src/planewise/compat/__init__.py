"""The original scripts' command lines, translated to ours; ``scripts/`` holds their names."""
