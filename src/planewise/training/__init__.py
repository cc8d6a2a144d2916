"""One loop that trains all models here, and the tasks that feed it."""
