"""Many runs side by side: sweeps over one cache, ablation grids."""
