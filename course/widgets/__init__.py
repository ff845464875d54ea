"""What a learner can touch: boxes and sliders (ipywidgets), each with a static form beside it."""
