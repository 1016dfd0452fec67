"""The first cell of a lab: profiles, and the message of a cell that needs an answer."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from diffusion_lab.errors import UserError, in_red
from diffusion_lab.labs import exercise as core
from diffusion_lab.labs import start as lab


@pytest.mark.parametrize(
    "profile, size, amount",
    [
        ("smoke", 1, 1),
        ("cpu", 2, 2),
        ("gpu", 3, 3),
        ("gpu-test", 3, 1),
    ],
)
def test_a_profile_chooses_sizes_and_amounts(profile, size, amount, monkeypatch, capsys):
    monkeypatch.setenv("DIFFUSION_LAB_PROFILE", profile)
    started = lab.start()
    assert (started.size(1, 2, 3), started.amount(1, 2, 3)) == (size, amount)
    assert capsys.readouterr().out.endswith(f"· profile: {profile}\n")


def test_a_long_sentence_is_wrapped_between_words():
    sentence = "Write `keras.ops.convert_to_tensor(well-known)` here. " * 20
    lines = [line.removeprefix("\x1b[31m").removesuffix("\x1b[0m") for line in in_red(sentence)]
    assert len(lines) > 5 and max(map(len, lines)) <= 88
    assert " ".join(lines) == f"✗ {sentence.strip()}"


def test_without_a_setting_the_hardware_chooses(monkeypatch):
    monkeypatch.delenv("DIFFUSION_LAB_PROFILE", raising=False)
    monkeypatch.setattr(lab, "has_accelerator", lambda: True)
    assert lab.start().profile == "gpu"
    monkeypatch.setattr(lab, "has_accelerator", lambda: False)
    assert lab.start().profile == "cpu"


def test_an_unknown_profile_gets_one_sentence(monkeypatch):
    monkeypatch.setenv("DIFFUSION_LAB_PROFILE", "tpu")
    with pytest.raises(UserError, match="'tpu': choose one of smoke, cpu, gpu, gpu-test"):
        lab.start()


def test_gpu_test_uses_the_photographs_only_if_they_are_downloaded(monkeypatch):
    monkeypatch.setattr(lab, "dataset_status", lambda name: "needs a download")
    chosen = {
        profile: lab.Profile(profile).data("flowers", "photographs") for profile in lab.PROFILES
    }
    assert chosen == {
        "smoke": "flowers",
        "cpu": "flowers",
        "gpu": "photographs",
        "gpu-test": "flowers",
    }


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("DIFFUSION_LAB_PROFILE", "smoke")
    monkeypatch.setattr(core, "unsolved", set())
    shell = InteractiveShell()

    def run(cell):
        shell.run_cell(cell)
        return capsys.readouterr().out.replace("\x1b[0m\n\x1b[31m", " ")  # one wrapped sentence

    run("from diffusion_lab.labs.start import start\nlab = start()")
    return run


def test_cells_that_wait_for_an_answer_say_so_in_one_line(run):
    assert "Traceback" in run("path[0]"), "an ordinary mistake is shown in full"
    said = run("def forward_step():\n    raise NotImplementedError('...')\npath = forward_step()")
    assert "an answer that is still missing. Exercise 2.1: write forward_step" in said
    assert "Traceback" not in said and said.count("\n") == 1
    said = run("[path[i] for i in range(3)]")
    assert "name 'path' is not defined: a cell above has not finished. Exercise 2.1" in said
    assert "Traceback" not in said and said.count("\n") == 1
    assert "Traceback" in run("def function():\n    return pth\nfunction()"), (
        "and so is one in a function"
    )
    assert "Traceback" in run("raise NotImplementedError('Exercise 2.1: something else')"), (
        "whatever its message"
    )
    assert "Traceback" in run(
        "def library():\n    raise NotImplementedError('Exercise 2.1: x')\nlibrary()"
    )
    said = run("def q_sample(x):\n    x = x + 1\n    raise NotImplementedError('...')\nq_sample(1)")
    assert (
        "Exercise 2.2, q_sample, ends at the line" in said
        and "remove that line." in said
        and said.count("\n") == 1
    )


@pytest.mark.parametrize(
    "cell",
    [
        "class M:\n    denoise = denoise",
        "class M:\n    class Inner:\n        steps = [denoise for _ in range(3)]",
        "class M:\n    def denoise(self):\n        return denoise(self)\nM().denoise()",
        "list(map(lambda x: denoise(x), [1]))",
    ],
)
def test_after_a_restart_a_cell_with_a_missing_answer_says_one_sentence(run, cell):
    said = run(cell)
    assert (
        "name 'denoise' is not defined: run the cell with your answer." in said
        and said.count("\n") == 1
    )


def test_a_cell_that_uses_a_wrong_answer_names_it_and_keeps_the_traceback(run):
    run(
        "from diffusion_lab import checks\nright = lambda image, noise, beta: (1 - beta) ** 0.5 *"
        " image + beta**0.5 * noise"
    )
    assert "✗ Exercise 2.1" in run("checks.forward_step(lambda image, noise, beta: image)")
    said = run("import json\njson.loads('{')")
    assert (
        "stops with JSONDecodeError" in said
        and "may not be right yet: forward_step." in said
        and said.count("\n") == 1
    )
    assert "Traceback" in run("%tb"), "and nothing is lost"
    said = run("[][5]")
    assert "Traceback" in said and "may not be right yet: forward_step." in said, (
        "the traceback of an error in the cell itself is short enough to show"
    )
    assert run("undefined_name").count("\n") == 1
    for other in ("def f(:\n    pass", "import mathh"):
        assert "Error" in run(other) and "forward_step" not in run(other), (
            "no answer is to blame for this"
        )
    assert "✗ Exercise 2.1" in run("checks.forward_step(lambda image, noise, beta: image)"), (
        "a check keeps its own sentence"
    )
    assert "✓" in run("checks.forward_step(right)")
    assert "Traceback" in run("json.loads('{')"), "the answer is not to blame any more"
    assert "forward_step" not in run("[][5]")


def test_a_check_of_a_missing_function_points_to_the_cell_with_the_answer(run):
    run("from diffusion_lab import checks")
    said = run("checks.denoise(denoise)")
    assert (
        "name 'denoise' is not defined: run the cell with your answer." in said
        and said.count("\n") == 1
    )
    assert "give the check your function itself, denoise, not nothing" in run("checks.denoise()")
