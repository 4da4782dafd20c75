#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tensors of a PyTorch checkpoint (.pth, .pt, .ckpt, .pth.tar) as .safetensors.

clr reads no pickle, because a pickle is a program. This script loads one with weights_only=True, which
runs none, and keeps names and values; clr itself knows what the names mean (docs/cli.md, CKPT). A
.safetensors file may be the input too, to leave tensors out. Needs torch and safetensors.
"""

import argparse
import os
import re
import sys
import zipfile

# Where checkpoints keep the names of their tensors; the first that is there is taken. A teacher is
# what DINO evaluates.
KEYS = ("state_dict", "model_state_dict", "model_state", "model", "teacher", "student", "net",
        "network", "encoder", "backbone", "module")


class Refused(Exception):
    """What is wrong, in a line."""


def is_state_dict(value):
    """Whether a value is a dictionary of named tensors (beside which other things may stand)."""
    import torch
    return (isinstance(value, dict) and bool(value)
            and all(isinstance(key, str) for key in value)
            and any(isinstance(item, torch.Tensor) and "." in key for key, item in value.items()))


def inert(name):
    """A class that takes the place of one that a checkpoint names: it keeps nothing, runs nothing."""
    def ignore(self, *args, **kwargs):
        return None
    members = ("__init__", "__setstate__", "__setitem__", "append", "extend", "update")
    return type(name, (), {"__new__": lambda cls, *args, **kwargs: object.__new__(cls),
                           **{member: ignore for member in members}})


def is_torchscript(path):
    """Whether a file is what torch.jit.save writes: an archive with code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def metadata_of(path):
    """What a .safetensors file says of itself (clr's configuration, say); nothing of other files."""
    if not path.endswith(".safetensors"):
        return {}
    from safetensors import safe_open
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def load(path):
    """A file's content, without running anything in it. What is neither a tensor nor a plain value
    (settings beside the tensors, as DINO and solo-learn save them) becomes an inert object."""
    import torch
    if not os.path.isfile(path):
        raise Refused(f"{path}: no such file")
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file
        try:
            return load_file(path)
        except Exception as error:
            raise Refused(f"{path}: cannot be read: {error}") from None
    if is_torchscript(path):
        raise Refused(f"{path}: expected a checkpoint, got a TorchScript program, which cannot be "
                      "read without running it; save the model's state_dict() where the file came from")
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # older files are no archives, and tell nothing before they are read
        names = []
    stand_ins = [(inert(name.rsplit(".", 1)[-1]), name) for name in names]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler's errors are of many kinds
        if re.search("unsupported (global|class)|trying to (call|instantiate)", str(error), re.IGNORECASE):
            raise Refused(f"{path}: holds more than tensors and plain values, which is not loaded "
                          "because it could run any code; save its state_dict() alone where the "
                          "file came from") from None
        raise Refused(f"{path}: expected a checkpoint that PyTorch can load, got a file that is "
                      "damaged or of another kind") from None


def find_state_dict(content, path, key):
    """The named tensors in a checkpoint, and the keys that lead to them."""
    if key:
        at = content
        for part in key.split("/"):
            if not isinstance(at, dict) or part not in at:
                there = ", ".join(map(str, at)) if isinstance(at, dict) else type(at).__name__
                raise Refused(f"{path}: --key {key}: expected {part}, there are: {there}")
            at = at[part]
        if not is_state_dict(at):
            raise Refused(f"{path}: --key {key}: expected named tensors, got {type(at).__name__}")
        return at, key
    if is_state_dict(content):
        return content, ""
    if isinstance(content, dict):
        for name in KEYS:
            if name in content and isinstance(content[name], dict):
                inner, way = find_state_dict(content[name], path, None)
                if inner is not None:
                    return inner, name + ("/" + way if way else "")
    return None, ""


def convert(args):
    """Does it; returns the lines to print."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file
    content = load(args.input)
    state, way = find_state_dict(content, args.input, args.key)
    if state is None:
        if not isinstance(content, dict):
            raise Refused(f"{args.input}: expected named tensors, got an object of the class "
                          f"{type(content).__name__}, whose code is not here; save its state_dict() "
                          "where the file came from")
        raise Refused(f"{args.input}: expected named tensors under one of {', '.join(KEYS)}, got: "
                      f"{', '.join(map(str, content))}; --key says where they are")
    tensors, dropped, other = {}, {}, []
    for name, value in state.items():
        prefix = next((p for p in args.drop if name.startswith(p)), None)
        if prefix is not None:
            dropped[prefix] = dropped.get(prefix, 0) + 1
        elif not isinstance(value, torch.Tensor):
            other.append(name)
        else:
            # A copy each: tensors that share memory cannot be stored.
            tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
    for prefix in args.drop:
        if prefix not in dropped:
            raise Refused(f"{args.input}: --drop {prefix}: expected names that start so, got none")
    if not tensors:
        raise Refused(f"{args.input}: expected tensors, got none")
    temporary = args.output + ".tmp"
    try:
        save_file(tensors, temporary, metadata={"format": "pt", **metadata_of(args.input)})
        os.replace(temporary, args.output)
    except (OSError, SafetensorError) as error:
        raise Refused(f"{args.output}: cannot be written: {error}") from None
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    place = f" under {way}" if way else ""
    lines = [f"{args.output}: {len(tensors)} tensors, found{place}"]
    lines += [f"left out: {prefix} ({count})" for prefix, count in dropped.items()]
    if other:
        lines.append(f"left out, no tensors: {', '.join(other)}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input", help="the checkpoint")
    parser.add_argument("output", help="OUT.safetensors")
    parser.add_argument("--key", help="where the tensors are, as in state_dict or model/student")
    parser.add_argument("--drop", action="append", default=[], metavar="PREFIX",
                        help="leave out the tensors whose names start so; repeatable")
    args = parser.parse_args()
    try:
        if not args.output.endswith(".safetensors"):
            raise Refused(f"{args.output}: expected a name that ends in .safetensors")
        try:
            import safetensors  # noqa: F401
            import torch  # noqa: F401
        except ImportError as error:
            raise Refused(f"{error.name}: not installed in {sys.executable}; "
                          "scripts/setup.sh --peers makes a Python that has it, and "
                          "test/peers/find_python.sh prints where") from None
        if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
            raise Refused(f"torch {torch.__version__}: expected 2.6 or newer")
        for line in convert(args):
            print(line)
    except Refused as refused:
        print(f"convert_checkpoint.py: error: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
