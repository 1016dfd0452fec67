"""A class that handed in lab 07 on five platforms, with the scores that each student must get."""

import json
import unicodedata
import zipfile
from itertools import cycle
from pathlib import Path

from diffusion_lab.instructor.build import sources
from diffusion_lab.instructor.sample_class import hand_in, with_mistake, with_slip
from diffusion_lab.instructor.source import exercises, read_source
from diffusion_lab.labs import checks

ROOT = Path(__file__).parents[1]

FIRST = (
    *("Ada", "Béla", "Chloë", "Dana", "Émile", "Fatou", "Gorō", "Hana", "Ivan", "Jürgen", "Kübra"),
    *("Lê", "María José", "Ngọc", "Óscar", "Priya", "Qiang", "Rósa", "Søren", "Tomáš"),
)
LAST = (
    *("O'Brien", "García Márquez", "Müller", "Nguyễn", "Åström", "Smith-Jones", "van der Berg"),
    *("Şahin", "Łukasiewicz", "Kovács", "Đorđević", "Straße", "Chen", "Haddad", "Ivanov", "Kim"),
    *("Lee", "Mbeki", "Novák", "Okafor", "Papadopoulos", "Rossi", "Sato", "Tan", "Yılmaz"),
)
FIRST_ID = 20_000  # of the students' numbers
# {platform: (place of a notebook in the zip, first line of the roster, line of a student)}
PLATFORMS = {
    "Canvas": (
        "{login}_{id}_9{id}_07_ddim.ipynb",
        "Student,ID,SIS Login ID,Section,Lab 07 (811)\n    Points Possible,,,,40",
        '"{sorted_name}",{id},{login},A,',
    ),
    "Moodle": (
        "{name}_{id}_assignsubmission_file/07_ddim.ipynb",
        "Identifier,Full name,Grade,Maximum Grade,Last modified (grade),Feedback comments",
        "Participant {id},{name},,40.00,-,",
    ),
    "Gradescope": ("assignment_7_export/submission_9{id}/07_ddim.ipynb", "Name,ID", "{name},{id}"),
    "Google Classroom": ("{name} - 07_ddim.ipynb", "Name,ID", "{name},{id}"),
    "Blackboard": (
        "Lab 07_{id}_attempt_2026-11-20-10-00-00_07_ddim.ipynb",
        "Name,ID",
        "{name},{id}",
    ),
}
LISTED_BY_GRADESCOPE = """\
submission_9{id}:
  :submitters:
  - :name: {name}
    :sid: '{id}'
  :created_at: 2026-11-20 10:00:00
"""
WORTH = {"diffusion_schedule": 4, "denoise": 6, "reverse_diffusion": 8, "remix": 6}
BOTH = "return ops.sin(angles), ops.cos(angles)"
CALL = "network([noisy_images, noise_rates**2], training=training)"
SLIPS = {  # exercise: [(text in the right answer, what a student writes instead)]
    "diffusion_schedule": [
        (BOTH, "return np.sin(angles), np.cos(angles)"),
        (BOTH, "return ops.sin(angles)"),
        (BOTH, "pass"),
        ("(self, diffusion_times)", "(diffusion_times)"),
        ("ops.sin(angles)", "math.sin(angles)"),
    ],
    "denoise": [
        (CALL, CALL.replace("[", "").replace("]", "")),
        (CALL, CALL.replace("network(", "network.predict(")),
        (CALL, CALL + ".numpy()"),
    ],
    "reverse_diffusion": [
        ("self.diffusion_schedule(ones * time)", "diffusion_schedule(ones * time)"),
        ("(initial_noise.shape[0], 1, 1, 1)", "(1,)"),
        ("    return pred_images", "    pass"),
        (
            "rates = self.diffusion_schedule(ones * time)",
            "rates = self.diffusion_schedule(ones * time)[::-1]",
        ),
    ],
    "remix": [
        ("noise_rates, signal_rates = rates", "signal_rates, noise_rates = rates"),
        (
            "noise_rates, signal_rates = rates",
            "(noise_rates, signal_rates), next_rates = next_rates, rates",
        ),
        (
            "noise_rates, signal_rates = rates",
            "(signal_rates, noise_rates), next_rates = rates, next_rates[::-1]",
        ),
        ("rates, next_rates, eta)", "rates, next_rates)"),
        ("    return next_signal_rates", "    next_signal_rates"),
    ],
}
HOSTILE = (
    "fork-bomb",
    "memory-bomb",
    "endless-loop",
    "os-exit",
    "reads-solutions-off-the-disk",
    "patches-the-check",
    "ten-gigabytes-of-output",
    "kills-its-parent",
    "writes-its-own-result",
    "calls-the-packages-schedule",
    "segmentation-fault",
    "a-million-files",
)


def wrong_answers(right):
    """Returns {exercise: [source of a wrong answer]}.

    These are the mistakes in the exercise's table that are pairs of texts, and the `SLIPS`, among
    which are the mistakes that are functions.
    """
    wrong = {}
    for name in WORTH:
        exercise = checks.exercises()[name]
        wrong[name] = [
            with_mistake(exercise, mistake)
            for mistake in exercise.mistakes
            if not callable(mistake.wrong)
        ]
        wrong[name] += [with_slip(right[name], *slip) for slip in SLIPS[name]]
    return wrong


def write_class(folder, count):
    """Writes a zip for each platform, as its instructors download it, and a roster next to it.

    Twelve students are hostile in one exercise each. The bits of another student's number say which
    exercises contain a mistake. Among 100 students, every mistake occurs.

    Args:
        folder: where to write them.
        count: the number of students.

    Returns:
        {zip: {the student's number: {exercise: points}}}.
    """
    solution = read_source(sources(ROOT, ["07"])[0])
    right = {name: cell.source for _, name, cell in exercises(solution)}
    wrong = {name: cycle(answers) for name, answers in wrong_answers(right).items()}
    classes = {platform: {} for platform in PLATFORMS}
    for number in range(count):
        if number < len(HOSTILE):
            answers = hostile_answer(HOSTILE[number])
        else:
            mistaken = [name for bit, name in enumerate(WORTH) if number >> bit & 1]
            answers = {name: next(wrong[name]) for name in mistaken}
        scores = WORTH | dict.fromkeys(answers, 0)
        platform = list(PLATFORMS)[number % len(PLATFORMS)]
        classes[platform][number] = hand_in(solution, right | answers), scores
    return {
        _write_export(folder, platform, handed_in): {
            number: scores for number, (_, scores) in handed_in.items()
        }
        for platform, handed_in in classes.items()
    }


def hostile_answer(name):
    """Returns {exercise: source} of a file in tests/hostile."""
    path = ROOT / "tests" / "hostile" / f"20-{name}.py"
    first, answer = path.read_text(encoding="utf-8").split("\n", 1)
    return {first.removeprefix("# answer: "): answer}


def _write_export(folder, platform, handed_in):
    """Writes the zip with {number: (notebook, scores)}, and the roster next to it."""
    place, header, line = PLATFORMS[platform]
    export = folder / f"{platform}.zip"
    people = {number: _person(number) for number in handed_in}
    with zipfile.ZipFile(export, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (notebook, _) in handed_in.items():
            archive.writestr(place.format(**people[number]), json.dumps(notebook))
        if platform == "Gradescope":
            listed = "".join(map(LISTED_BY_GRADESCOPE.format_map, people.values()))
            archive.writestr("assignment_7_export/submission_metadata.yml", "---\n" + listed)
    lines = [header, *map(line.format_map, people.values())]
    export.with_suffix(".csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return export


def _person(number):
    """Returns the fields of `PLATFORMS` for a student's number. Every name occurs once."""
    first, last = FIRST[number % len(FIRST)], LAST[number // len(FIRST)]
    letters = unicodedata.normalize("NFKD", last + first).lower()
    return {
        "name": f"{first} {last}",
        "sorted_name": f"{last}, {first}",
        "login": "".join(filter(str.isalnum, letters)),
        "id": FIRST_ID + number,
    }
