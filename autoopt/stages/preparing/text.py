"""Texts: fit tokens on train, write them as a graph, and keep what that graph makes of train and valid."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
import onnx

from autoopt.files import write_json
from autoopt.stages.preparing.base import LoadJob, PrepareJob, Preparer
from autoopt.strategies import models
from autoopt.strategies.model import Prepared
from autoopt.strategies.prepared import Counts, Tokens
from autoopt.strategies.text.counting import fit_counting
from autoopt.strategies.text.ngrams import NGrams
from autoopt.strategies.text.numbering import fit_numbering
from autoopt.strategies.text.pretrained import FROZEN, NONE, Pretrained
from autoopt.strategies.text.text_clean import TextClean
from autoopt.strategies.text.tokenizer import FIRST
from autoopt.strategies.text.tokens import TokenNumbers

GRAPH: Final = "preprocess.onnx"
INFO: Final = "prepared.json"
VECTORS: Final = "vectors.npy"
_SPARSE: Final = ("data", "indices", "indptr")


@dataclass(frozen=True, kw_only=True)
class TextInfo:
    """What is kept of prepared texts beside their graph and arrays."""

    width: int  # n-grams that are counted, or tokens of a row
    vocabulary: int  # token numbers there are, 0 and 1 included; 0 where n-grams are counted


@final
class TextPreparer(Preparer):
    """Columns of free text: n-gram counts for the models that read these, token numbers for all others."""

    def prepare(self, job: PrepareJob, folder: Path) -> None:
        clean = TextClean.from_recipe(job.recipe)
        parts = {"train": job.train.texts, "valid": job.valid.texts}
        if models()[str(job.recipe["model"])].counts_ngrams:
            counting = fit_counting(job.train.texts, job.facts, clean, NGrams.from_recipe(job.recipe))
            graph, info = counting.graph, TextInfo(width=counting.features, vocabulary=0)
            for name, texts in parts.items():
                counts = counting.transform(texts)
                for field in _SPARSE:
                    np.save(folder / f"{name}_{field}.npy", getattr(counts, field), allow_pickle=False)
        else:
            numbering = fit_numbering(job.train.texts, job.facts, clean, TokenNumbers.from_recipe(job.recipe))
            graph, info = numbering.graph, TextInfo(width=numbering.length, vocabulary=numbering.vocabulary)
            for name, texts in parts.items():
                np.save(folder / f"{name}_codes.npy", numbering.transform(texts), allow_pickle=False)
            if job.vectors is not None and numbering.words:
                table = np.pad(job.vectors.table(numbering.words), ((FIRST, 0), (0, 0)), constant_values=np.nan)
                np.save(folder / VECTORS, table, allow_pickle=False)
        onnx.save(graph, folder / GRAPH)
        write_json(folder / INFO, asdict(info))

    def graph(self, folder: Path) -> onnx.ModelProto:
        return onnx.load(folder / GRAPH)

    def load(self, job: LoadJob) -> Prepared:
        """Token numbers are mapped; what is written into them stays in this process."""
        info = TextInfo(**json.loads((job.folder / INFO).read_text()))
        if info.vocabulary:
            codes = np.load(job.folder / f"{job.part_name}_codes.npy", mmap_mode="c", allow_pickle=False)
            form = Pretrained.from_recipe(job.recipe).form
            vectors = None if form == NONE else np.load(job.folder / VECTORS, allow_pickle=False)
            return Tokens(codes=np.asarray(codes), vocabulary=info.vocabulary, vectors=vectors, fixed=form == FROZEN)
        import scipy.sparse

        arrays = [np.load(job.folder / f"{job.part_name}_{field}.npy", allow_pickle=False) for field in _SPARSE]
        shape = (len(arrays[-1]) - 1, info.width)
        return Counts(values=scipy.sparse.csr_array(tuple(arrays), shape=shape))
