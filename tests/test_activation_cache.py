"""What is read from an activation cache is what was written; all else is said to be missing, and never handed on."""

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgesim.cached_outputs import Storage
from edgesim.finetuning import cached, parallel_adapters
from edgesim.zoo.bert import bert
from real_runtime.activation_cache.cache import ActivationCache, Outputs
from real_runtime.activation_cache.codec import StorageError, decode, encoded
from real_runtime.activation_cache.hashes import model_hash, samples_hash
from real_runtime.activation_cache.key import CacheKey
from real_runtime.activation_cache.missing import MissingOutputsError
from real_runtime.activation_cache.records import entries, record, record_bytes
from real_runtime.activation_cache.room import needed_bytes, refuse_too_little_room
from real_runtime.activation_cache.streams import BackgroundWriter

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)
WIDTH, ROWS, LAYERS = 8, 3, (0, 1, 2)
KEY = CacheKey(backbone="b" * 64, samples="s" * 64, width=WIDTH, storage=Storage.FP32)
RECORD = record_bytes(ROWS * WIDTH * 4)


def outputs(*samples: int, layer: int = 0) -> Outputs:
    """What a backbone puts out: the same for the same sample and layer."""
    return np.stack(
        [np.random.default_rng([s, layer]).standard_normal((ROWS, WIDTH)).astype(np.float32) for s in samples]
    )


def filled(folder: Path, samples: int = 4, key: CacheKey = KEY, **more: object) -> ActivationCache:
    cache = ActivationCache(folder, key, keep=True, **more)  # type: ignore[arg-type]
    for sample in range(samples):
        for layer in LAYERS:
            cache.write([sample], layer, outputs(sample, layer=layer))
    return cache


def missing_of(cache: ActivationCache, *samples: int) -> list[str]:
    with pytest.raises(MissingOutputsError) as refused:
        cache.read(samples, LAYERS)
    return [str(each) for each in refused.value.missing]


def flip(path: Path, position: int) -> None:
    """Change one bit of a byte."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


# --- what is read is what was written ---


@pytest.mark.parametrize("storage", Storage)
@given(
    rows=arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.floats(-6e4, 6e4, width=32))
)
@repeatable
def test_what_is_kept_is_as_far_off_as_its_precision_allows_and_no_further(storage: Storage, rows: np.ndarray) -> None:
    error, back = StorageError(), np.empty_like(rows)
    decode(encoded(rows, storage, error), storage, back)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    bound = {
        Storage.FP32: np.zeros_like(rows),
        Storage.FP16: np.abs(rows) * 2.0**-11 + 2.0**-25,
        Storage.INT8: largest / 254 * 1.001 + 1e-38,
    }[storage]
    assert (np.abs(back - rows) <= bound).all()
    assert error.numbers == rows.size
    reported = np.abs(back - rows) / np.where(largest > 0, largest, 1)
    assert error.max_relative == pytest.approx(reported.max(), rel=1e-5)


@pytest.mark.parametrize("storage", Storage)
def test_a_cache_gives_back_what_was_written_by_sample_and_by_layer(storage: Storage, tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path / "c", replace(KEY, storage=storage))
    whole = {layer: outputs(0, 1, 2, 3, layer=layer) for layer in LAYERS}
    for layer in LAYERS:
        cache.write([0, 1, 2, 3], layer, whole[layer])
    read = cache.read([2, 0], [2, 1])
    assert list(read) == [2, 1]
    for layer, found in read.items():
        expected = whole[layer][[2, 0]]
        np.testing.assert_allclose(found, expected, atol={"fp32": 0, "fp16": 2e-3, "int8": 2e-2}[storage])
        assert storage is not Storage.FP32 or found.tobytes() == expected.tobytes()
    assert cache.report().entries == 12
    cache.clear()


def test_the_error_of_what_is_kept_is_reported(tmp_path: Path) -> None:
    reports = {}
    for storage in Storage:
        with filled(tmp_path / storage, key=replace(KEY, storage=storage)) as cache:
            reports[storage] = cache.report()
    assert (reports[Storage.FP32].max_relative_error, reports[Storage.FP32].rms_relative_error) == (0, 0)
    assert 0 < reports[Storage.FP16].rms_relative_error < 2**-11
    assert reports[Storage.FP16].rms_relative_error < reports[Storage.INT8].rms_relative_error < 0.01
    assert 0.003 < reports[Storage.INT8].max_relative_error <= 1 / 254 * 1.001


def test_a_cache_that_is_opened_again_has_all_its_entries_and_goes_on(tmp_path: Path) -> None:
    filled(tmp_path, samples=3).close()
    with ActivationCache(tmp_path, KEY, keep=True) as cache:
        assert not cache.missing(range(3), LAYERS)
        assert [(each.sample, each.layer) for each in cache.missing(range(4), LAYERS)] == [(3, 0), (3, 1), (3, 2)]
        cache.write([3], 0, outputs(3))
    with ActivationCache(tmp_path, KEY, keep=True) as cache:
        np.testing.assert_array_equal(cache.read([3], [0])[0], outputs(3))
        np.testing.assert_array_equal(cache.read([1], [2])[2], outputs(1, layer=2))


def test_files_that_have_grown_are_followed_by_others(tmp_path: Path) -> None:
    filled(tmp_path, samples=5, shard_bytes=3 * RECORD).close()
    assert [path.stat().st_size for path in sorted(tmp_path.glob("*.shard"))] == [
        4 * RECORD,
        4 * RECORD,
        4 * RECORD,
        3 * RECORD,
    ]
    with ActivationCache(tmp_path, KEY, keep=True, shard_bytes=3 * RECORD) as cache:
        cache.write([5], 0, outputs(5))
        for sample in range(5):
            for layer, found in cache.read([sample], LAYERS).items():
                np.testing.assert_array_equal(found, outputs(sample, layer=layer))
    assert len(list(tmp_path.glob("*.shard"))) == 4


def test_entries_are_taken_over_from_another_cache_bit_by_bit(tmp_path: Path) -> None:
    key = replace(KEY, storage=Storage.INT8)
    with filled(tmp_path / "one", samples=2, key=key) as one, ActivationCache(tmp_path / "two", key, keep=True) as two:
        two.take_over(1, 2, *one.kept_bytes(1, 2))
        np.testing.assert_array_equal(two.read([1], [2])[2], one.read([1], [2])[2])
        with pytest.raises(MissingOutputsError, match="sample 7, layer 0: it is not there"):
            one.kept_bytes(7, 0)


# --- what is damaged or missing is computed again ---


@pytest.mark.parametrize("position", [70, 64 + 50])
def test_a_damaged_entry_is_recomputed(position: int, tmp_path: Path) -> None:
    filled(tmp_path).close()
    flip(tmp_path / "000000.shard", 4 * RECORD + position)
    with ActivationCache(tmp_path, KEY, keep=True) as cache:
        assert missing_of(cache, 0, 1) == ["sample 1, layer 1: its entry is damaged"]
        assert cache.report().damaged == 1
        assert "1 entries are damaged" in str(cache.report())
        cache.write([1], 1, outputs(1, layer=1))
        np.testing.assert_array_equal(cache.read([0, 1], LAYERS)[1], outputs(0, 1, layer=1))
        assert cache.report().damaged == 0
    with ActivationCache(tmp_path, KEY, keep=True) as cache:
        np.testing.assert_array_equal(cache.read([1], [1])[1], outputs(1, layer=1))


@pytest.mark.parametrize("position", [0, 9, 33, 38])
def test_a_damaged_header_costs_its_entry_alone(position: int, tmp_path: Path) -> None:
    filled(tmp_path).close()
    flip(tmp_path / "000000.shard", 4 * RECORD + position)
    with ActivationCache(tmp_path, KEY, keep=True) as cache:
        assert cache.report().entries == 11
        assert missing_of(cache, 0, 1, 2, 3) == ["sample 1, layer 1: it is not there"]


@given(length=st.integers(0, 12 * RECORD))
@repeatable
def test_a_file_that_was_cut_off_anywhere_keeps_what_was_whole(
    length: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    filled(folder).close()
    os.truncate(folder / "000000.shard", length)
    with ActivationCache(folder, KEY) as cache:
        whole = sum(number * RECORD + 64 + ROWS * WIDTH * 4 <= length for number in range(12))
        assert cache.report().entries == whole
        assert len(cache.missing(range(4), LAYERS)) == 12 - whole
        cache.write([9], 0, outputs(9))
        np.testing.assert_array_equal(cache.read([9], [0])[0], outputs(9))


def test_a_file_that_is_cut_off_or_gone_while_it_is_used_is_no_crash(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.read([0, 1, 2, 3], LAYERS)
    os.truncate(tmp_path / "000000.shard", 11 * RECORD)
    assert missing_of(cache, 3) == ["sample 3, layer 2: its entry is damaged"]
    (tmp_path / "000000.shard").unlink()
    assert len(missing_of(cache, 0)) == 3
    cache.close()


def test_nothing_of_a_micro_batch_is_handed_on_if_any_of_it_is_missing(tmp_path: Path) -> None:
    with filled(tmp_path, samples=2) as cache, pytest.raises(MissingOutputsError) as refused:
        cache.read([0, 5, 6], LAYERS)
    assert refused.value.samples == (5, 6)
    assert str(refused.value) == (
        "outputs of 2 samples must be computed again (sample 5, layer 0: it is not there; "
        "sample 6, layer 0: it is not there; sample 5, layer 1: it is not there, and 3 more)"
    )


@given(data=st.binary(max_size=600))
@repeatable
def test_bytes_that_are_no_records_are_no_entries(data: bytes) -> None:
    assert not list(entries(data))


# --- a process that is killed ---

_WRITER = """
import os, sys
import numpy as np
from real_runtime.activation_cache.cache import ActivationCache
from real_runtime.activation_cache.key import CacheKey
cache = ActivationCache(sys.argv[1], CacheKey(backbone="b" * 64, samples="s" * 64, width=8, storage="fp32"))
sample = 0
while True:
    for layer in (0, 1, 2):
        rows = np.random.default_rng([sample, layer]).standard_normal((3, 8))
        cache.write([sample], layer, rows.astype(np.float32)[None])
    os.write(1, b"%d\\n" % sample)
    sample += 1
"""


def test_a_run_that_is_killed_while_it_writes_keeps_all_that_it_has_written(tmp_path: Path) -> None:
    told, kept = 0, 0
    for number in range(4):
        folder, draw = tmp_path / str(number), random.Random(number)
        command = [sys.executable, "-c", textwrap.dedent(_WRITER), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(draw.randint(1, 300))]
            threading.Event().wait(draw.random() * 0.005)
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
            assert writer.wait() == -signal.SIGKILL
        samples = range(len([line for line in lines if line.endswith(b"\n")]))
        with ActivationCache(folder, KEY) as cache:
            there = [sample for sample in samples if not cache.missing([sample], LAYERS)]
            for sample in there:
                np.testing.assert_array_equal(cache.read([sample], [1])[1], outputs(sample, layer=1))
        told, kept = told + len(samples), kept + len(there)
    assert told > 100
    assert kept >= 0.99 * told


# --- room ---


def test_what_a_limit_does_not_allow_is_not_kept_and_counted(tmp_path: Path) -> None:
    with filled(tmp_path, limit_bytes=5 * RECORD + 10) as cache:
        report = cache.report()
        assert (report.entries, report.refused, report.nbytes) == (5, 7, 5 * RECORD)
        assert missing_of(cache, 3)[0] == "sample 3, layer 0: it is not there (they may take 970 B)"
        assert "7 outputs are not kept: they may take 970 B" in str(report)
    with ActivationCache(tmp_path, KEY, limit_bytes=5 * RECORD + 10) as cache:
        cache.write([7], 0, outputs(7))
        assert cache.report().entries == 5, "what is there counts"


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Files of this process may grow to 1000 bytes: the system then says that the disk takes no more."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_disk")
def test_what_a_full_disk_does_not_take_is_not_kept_and_training_goes_on(tmp_path: Path) -> None:
    with filled(tmp_path) as cache:
        assert (cache.report().entries, cache.report().refused) == (1000 // RECORD, 12 - 1000 // RECORD)
        assert (tmp_path / "000000.shard").stat().st_size == 1000 // RECORD * RECORD, "what was cut off is removed"
        assert "is full" in missing_of(cache, 3)[0]


def test_a_disk_with_too_little_room_is_refused_with_the_bytes_it_needs_and_has(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs .* \(1000000000000000000 bytes\), and its disk has .* bytes\) left"):
        refuse_too_little_room(tmp_path / "new" / "folder", 10**18)
    refuse_too_little_room(tmp_path, 10**18, limit_bytes=1000)
    refuse_too_little_room(tmp_path, 10**18, held_bytes=10**18 - 10)


@pytest.mark.parametrize("storage", Storage)
def test_a_cache_takes_the_bytes_that_it_is_said_to_need(storage: Storage, tmp_path: Path) -> None:
    model = parallel_adapters(bert(name="b", layers=2, hidden=16, heads=8, columns=64, vocabulary=50, positions=5))
    with ActivationCache(tmp_path / "c", replace(KEY, width=16, storage=storage)) as cache:
        for layer in range(3):
            cache.write([0, 1, 2], layer, np.ones((3, 5, 16), dtype=np.float32))
        assert cache.report().nbytes == needed_bytes(model, samples=3, tokens=5, storage=storage)


# --- whose it is ---


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"backbone": "c" * 64}, "is of another backbone: bbbbbbbbbbbb, and this one is cccccccccccc"),
        ({"samples": "t" * 64}, "is of other samples: ssssssssssss, and these are tttttttttttt"),
        ({"width": 9}, "is of a model that is 8 wide, and this one is 9 wide"),
        ({"storage": Storage.INT8}, "keeps numbers as fp32, and they are asked for as int8"),
        ({"format": 2}, "has form 1, and this version reads form 2"),
    ],
)
def test_a_cache_of_something_else_is_refused_in_a_sentence(other: dict, said: str, tmp_path: Path) -> None:
    filled(tmp_path, samples=1).close()
    with pytest.raises(ValueError, match=said):
        ActivationCache(tmp_path, replace(KEY, **other))
    ActivationCache(tmp_path, KEY).clear()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1'])
def test_a_cache_that_does_not_say_whose_it_is_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text(text)
    with pytest.raises(ValueError, match=r"cache\.json is damaged"):
        ActivationCache(tmp_path, KEY)


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match="holds files and no activation cache"):
        ActivationCache(tmp_path, KEY)
    assert (tmp_path / "thesis.tex").read_text() == "all of it"


def test_a_cache_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with filled(tmp_path, samples=1), pytest.raises(ValueError, match="is in use"):
        ActivationCache(tmp_path, KEY)


def test_a_backbone_is_its_sizes_and_where_its_weights_come_from(tmp_path: Path) -> None:
    def of(layers: int = 2, seed: int = 0, checkpoint: str | None = None) -> str:
        model = bert(name="b", layers=layers, hidden=16, heads=8, columns=64, vocabulary=50, positions=8)
        tuned = parallel_adapters(model)
        hashes = {model_hash(each, seed=seed, checkpoint=checkpoint) for each in (model, tuned, cached(tuned))}
        assert len(hashes) == 1, "what is added to it, and what is left out, is no part of it"
        return hashes.pop()

    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"some")
    some = of(checkpoint=str(tmp_path))
    weights.write_bytes(b"same" + b"d")
    assert len({of(), of(layers=3), of(seed=1), some, of(checkpoint=str(tmp_path))}) == 5
    assert of() == of()
    assert samples_hash(np.arange(3), "a") != samples_hash(np.arange(3), "b")


# --- what becomes of it ---


def test_a_cache_is_cleared_at_the_end_unless_it_is_kept(tmp_path: Path) -> None:
    with filled(tmp_path / "kept", samples=1):
        pass
    with ActivationCache(tmp_path / "cleared", KEY) as cache:
        cache.write([0], 0, outputs(0))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_after_an_error_a_cache_stays_for_who_goes_on(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ActivationCache(tmp_path, KEY) as cache:
            cache.write([0], 0, outputs(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with ActivationCache(tmp_path, KEY) as cache:
        assert not cache.missing([0], [0])


# --- beside computing ---


def test_a_writer_on_its_own_thread_writes_the_same(tmp_path: Path) -> None:
    with ActivationCache(tmp_path, KEY) as cache:
        with BackgroundWriter(cache, most_waiting=2) as writer:
            for sample in range(8):
                writer.write([sample], 0, outputs(sample))
        np.testing.assert_array_equal(cache.read(range(8), [0])[0], outputs(*range(8)))


def test_what_goes_wrong_on_the_writers_thread_is_told_to_who_hands_over(tmp_path: Path) -> None:
    with (
        ActivationCache(tmp_path, replace(KEY, storage=Storage.FP16)) as cache,
        pytest.raises(ValueError, match="sample 3, layer 2: fp16 does not reach 100000"),
        BackgroundWriter(cache) as writer,
    ):
        writer.write([3], 2, np.full((1, 1, WIDTH), 1e5, dtype=np.float32))
    with ActivationCache(tmp_path, replace(KEY, storage=Storage.FP16)) as cache:
        assert cache.report().entries == 0


def test_a_number_that_is_none_is_never_kept(tmp_path: Path) -> None:
    with ActivationCache(tmp_path, KEY) as cache:
        with pytest.raises(ValueError, match=r"sample 0, layer 1: .* holds a number that is none"):
            cache.write([0], 1, np.full((1, 2, WIDTH), np.nan, dtype=np.float32))
        with pytest.raises(ValueError, match=r"must be \[1, rows, 8\], got \[1, 2, 7\]"):
            cache.write([0], 1, np.zeros((1, 2, 7), dtype=np.float32))


def test_a_record_is_what_its_header_says() -> None:
    kept = np.arange(10, dtype=np.uint8)
    (entry,) = entries(record(-5, 3, 2, kept))
    assert (entry.sample, entry.layer, entry.rows, entry.nbytes, entry.start) == (-5, 3, 2, 10, 64)
    assert len(record(-5, 3, 2, kept)) == record_bytes(10) == 128
