"""Load and run artifacts. Needs numpy and onnxruntime, and of autoopt only the errors: all a bundle needs."""

from autoopt.runtime.cells import cell_number, cell_text
from autoopt.runtime.front import Columns, Feed, Front, FrontInput, front_json, graph_input_name
from autoopt.runtime.predictor import BATCH_ROWS, Predictor, chosen_graph, rows_at_once
from autoopt.runtime.reference import reference_call, reference_session
from autoopt.runtime.serve import Served, served
from autoopt.runtime.serving import Serving
from autoopt.runtime.session import Runner, Session, as_scores
from autoopt.runtime.timing import Latency, latency

__all__ = [
    "BATCH_ROWS",
    "Columns",
    "Feed",
    "Front",
    "FrontInput",
    "Latency",
    "Predictor",
    "Runner",
    "Served",
    "Serving",
    "Session",
    "as_scores",
    "cell_number",
    "cell_text",
    "chosen_graph",
    "front_json",
    "graph_input_name",
    "latency",
    "reference_call",
    "reference_session",
    "rows_at_once",
    "served",
]
