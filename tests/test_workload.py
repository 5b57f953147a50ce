"""Long work is announced, and refused before it begins where the memory does not suffice."""

import psutil
import pytest

from helpers import data, workload

GB = 10**9


def plan(**given):
    workload.plan(
        **{"memory": 1.9 * GB, "seconds": 240, "images": 2300, "dataset": "folder"} | given
    )


def container(folder, limit, used, cache=0):
    """What Linux shows of a container's memory, in version 2 of its control groups."""
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\n")
    return folder


def test_one_line_says_what_is_to_come(capsys):
    plan()
    assert capsys.readouterr().out == "about 1.9 GB of memory and 4 minutes for 2,300 images\n"
    plan(memory=3e6, seconds=0, images=6)
    assert capsys.readouterr().out == "about 3 MB of memory for 6 images\n"
    plan(memory=3e6, seconds=1, images=6)
    assert capsys.readouterr().out == "about 3 MB of memory and 1 second for 6 images\n"


@pytest.mark.parametrize("dataset", ["elpv", "textile", "textures"])
def test_the_books_own_data_prints_nothing(capsys, dataset):
    plan(dataset=dataset)
    assert capsys.readouterr().out == ""


def test_work_that_does_not_fit_is_refused_with_advice(monkeypatch):
    monkeypatch.setattr(workload, "available", lambda: 16 * GB)
    plan(memory=15 * GB)
    message = (
        r"2,300 images need about 70\.0 GB of memory, and 16\.0 GB are free; use image_size=256"
    )
    for dataset in ("folder", "elpv"):
        with pytest.raises(ValueError, match=message):
            plan(memory=70 * GB, dataset=dataset, advice="use image_size=256, or fewer images")


def test_a_containers_limit_counts_where_it_is_smaller(tmp_path):
    free = psutil.virtual_memory().available
    assert workload.available(tmp_path) == pytest.approx(free, rel=0.1), "no limit is known"
    assert workload.available(container(tmp_path, 10**6, 4 * 10**5)) == 6 * 10**5
    assert workload.available(container(tmp_path, 10**6, 4 * 10**5, cache=10**5)) == 7 * 10**5
    assert workload.available(container(tmp_path, 10**6, 2 * 10**6)) == 0
    assert workload.available(container(tmp_path, "max", 5)) == pytest.approx(free, rel=0.1)


def test_images_are_not_read_where_they_do_not_fit(monkeypatch):
    monkeypatch.setattr(workload, "available", lambda: 10**6)
    with pytest.raises(ValueError, match=r"image_size=256 is held for all at once.*fewer images"):
        data.load("textures")
