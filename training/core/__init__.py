"""Pure domain: problems, perturbations, gates, answers, rewards, statistics. No torch, no I/O."""
