"""Pure domain: problems, hints, gates, answers, rewards, statistics. No torch, no I/O."""
