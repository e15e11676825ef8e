"""Host monolayers: where they come from, which are taken, and the shards they are split into."""
