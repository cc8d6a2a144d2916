"""The original scripts' command lines, translated to ours; ``scripts/`` holds scripts with their names."""
