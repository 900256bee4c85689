"""Files: atomic writes, the content-addressed store, hashes, locks, and where things lie."""

from autoopt.files.atomic import new_folder, write_bytes, write_json, write_text
from autoopt.files.hashing import derived_seed, sha256_file, sha256_json
from autoopt.files.home import Home, check_study_name
from autoopt.files.locks import FileLock, measuring_lock
from autoopt.files.resources import resource_folder
from autoopt.files.store import Store, StoreEntry
from autoopt.files.user_path import user_path

__all__ = [
    "FileLock",
    "Home",
    "Store",
    "StoreEntry",
    "check_study_name",
    "derived_seed",
    "measuring_lock",
    "new_folder",
    "resource_folder",
    "sha256_file",
    "sha256_json",
    "user_path",
    "write_bytes",
    "write_json",
    "write_text",
]
