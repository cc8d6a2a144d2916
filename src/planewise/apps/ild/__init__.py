"""ild: fine-tune SAM2 on chest CT, segment lesion classes in 3D slice by slice, evaluate."""
