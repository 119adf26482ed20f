"""Everything that touches torch: policy, sampler, loss, optimiser, checkpoints."""
