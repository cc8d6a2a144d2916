"""One loop that trains every model here, and what feeds it."""
