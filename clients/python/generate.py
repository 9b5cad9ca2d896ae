"""Makes the stubs under `assay/v1` from the contract in `proto/`.

Needs grpcio-tools in the version that pyproject.toml pins, since other versions write other text.

    python generate.py           writes the stubs
    python generate.py --check   exits with 1 if they are not current, and writes nothing
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")


def generate(out: Path) -> None:
    """Writes the stubs of every file of the contract under `out`, as `assay/v1/*`."""
    protos = sorted(str(path) for path in PROTO.glob("assay/v1/*.proto"))
    includes = [f"-I{PROTO}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *includes, *outputs, *protos]) != 0:
        sys.exit("protoc failed")
    for stub in (out / "assay" / "v1").glob("*_pb2_grpc.py"):
        if "Service" not in stub.read_text():
            stub.unlink()  # A file without services.


def stubs(root: Path) -> dict[str, str]:
    """Text of every stub under `root`, by file name."""
    folder = root / "assay" / "v1"
    return {path.name: path.read_text() for pattern in PATTERNS for path in folder.glob(pattern)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the stubs are current")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, present = stubs(Path(folder)), stubs(HERE)
    stale = sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))
    if check and stale:
        sys.exit(f"not current, run generate.py: {', '.join(stale)}")
    if not check:
        write(fresh, stale)


def write(fresh: dict[str, str], stale: list[str]) -> None:
    """Brings the files named in `stale` to the text in `fresh`; those without a text are removed."""
    target = HERE / "assay" / "v1"
    target.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in fresh:
            (target / name).write_text(fresh[name])
        else:
            (target / name).unlink()


if __name__ == "__main__":
    main()
