"""From masks to numbers, in physical units. Nothing here knows a model: any method's label volumes can be measured."""
