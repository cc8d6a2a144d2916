"""mito: fine-tune MitoNet on electron microscopy, segment instances in three planes, evaluate, measure."""
