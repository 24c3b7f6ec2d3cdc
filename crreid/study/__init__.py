"""The paper's tables and figures: the runs each needs, the published numbers beside them, how they are rendered."""
