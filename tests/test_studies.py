"""The paper's comparisons over many edits: what they count and measure, their verdicts, the ledger."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor
from tiny import picture, random

import gooddrag as gd
from experiments.studies import aldd, identity, ip, ledger, study, verdicts
from experiments.studies.study import NO_STOP, Study
from gooddrag import ddim, metrics
from gooddrag.lora import applied, fit
from gooddrag.sample import Sample

SMALL = gd.DragConfig(num_steps=10, strength=0.5, K=4, B=2, J=2, r2=4, **NO_STOP)  # T = 5
POINTS = [[(20, 20), (34, 30)]]
MASK = np.zeros((64, 64), bool)
MASK[10:45, 10:50] = True


@pytest.fixture(scope="module")
def page():
    return Sample(picture(), POINTS, MASK, truth=picture(seed=1), name="page", category="animal", task="relocation")


@pytest.fixture(scope="module")
def editor(tiny_folder, page):
    model = gd.load_model(tiny_folder, device="cpu")
    return gd.DragEditor(model, gd.LoraConfig(rank=2, steps=2)).set_image(page.image)


# which edits


@given(st.integers(1, 100))
def test_fewer_edits_are_the_first_of_more(n):
    keys = study.spread(n)
    assert len(set(keys)) == n and keys == study.spread(100)[:n]


def test_sixteen_edits_are_of_every_category_but_in_proportion():
    categories = [category for category, _, _ in study.spread(16)]
    assert set(categories) == {"animal", "painting", "landscape", "plant", "portrait", "object"}
    assert 7 <= categories.count("animal") <= 11  # 58 of 100


@pytest.mark.parametrize("n", [0, 101])
def test_too_few_or_too_many_edits(n):
    with pytest.raises(ValueError, match=f"n: {n}"):
        study.spread(n)


# alternation


@pytest.mark.parametrize("aldd_on", [True, False])
def test_the_work_is_the_same_in_either_order(editor, page, aldd_on):
    config = replace(SMALL, aldd=aldd_on)
    fresh = gd.DragEditor(editor.model, editor.lora).set_image(page.image)
    fresh.invert(config)
    walk = aldd.Walk()
    with aldd.counted(editor.model) as calls:
        fresh.drag(page, config=config, callback=walk)
    assert calls.latents == config.K * config.J + 2 * config.T
    assert calls.backwards == config.K * config.J
    kinds = "".join(step.kind[1] for step in walk.steps)  # r: drag, e: denoise
    assert kinds == ("rrerreeee" if aldd_on else "rrrreeeee")
    assert walk.steps[-1].t == 0


def test_nothing_is_counted_after_the_context(editor):
    with aldd.counted(editor.model) as calls, torch.no_grad():
        editor.model.eps(editor.z_0.expand(3, -1, -1, -1), 1)
    editor.model.eps(editor.z_0, 1)
    assert calls == aldd.Calls(calls=1, latents=3, backwards=0)


def test_the_ruler_is_the_training_loss_at_one_level(editor):
    z = torch.cat([editor.z_0, editor.z_0 + 1])
    schedule = ddim.Schedule(editor.model.alphas_cumprod, 50, editor.model.steps_offset)
    noise = torch.randn((3, *z.shape[1:]), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for value, z_0 in zip(aldd.off_manifold(editor.model, z, level=7, draws=3, seed=5), z, strict=True):
            alpha = editor.model.alphas_cumprod[1 + 6 * 20]
            losses = [
                (editor.model.eps((alpha**0.5 * z_0 + (1 - alpha) ** 0.5 * n)[None], schedule.timestep(7))[0] - n) ** 2
                for n in noise
            ]
            assert float(value) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)


def test_estimates_end_in_the_latents_themselves(editor, page):
    walks = aldd.Walk(), aldd.Walk()
    configs = SMALL, replace(SMALL, aldd=False)
    results = [editor.drag(page, config=c, callback=walk) for c, walk in zip(configs, walks, strict=True)]
    schedule, model = editor.model.schedule(SMALL.num_steps), editor.model
    estimates = aldd.pointed_to(editor, walks, SMALL)
    for result, walk, edited, unedited in zip(results, walks, *estimates, strict=True):
        assert len(edited) == len(unedited) == SMALL.K + SMALL.T
        assert torch.equal(edited[-1:], result.latent) and torch.equal(unedited[-1:], editor.z_0)
        step = walk.steps[1]
        with torch.no_grad(), applied(model.unet, editor.lora):
            for z, estimate in ((step.z, edited), (editor.invert(SMALL)[step.t], unedited)):
                eps, alpha = model.eps(z, schedule.timestep(step.t)), schedule.alpha(step.t)
                torch.testing.assert_close(estimate[1:2], ddim.predict_z0(z, eps, alpha), rtol=1e-4, atol=1e-4)


def test_the_map_has_the_page_at_0_and_the_truth_at_1():
    page, truth, other = (random(1, 4, 8, 8, seed=i) for i in range(3))
    wanted = truth - page
    beside = other - (other.flatten() @ wanted.flatten()) / wanted.square().sum() * wanted  # at right angles
    beside = beside * (wanted.norm() / beside.norm())
    unedited = random(3, 4, 8, 8, seed=7)
    first = unedited + torch.cat([0 * wanted, 0.5 * wanted, wanted])
    second = unedited + torch.cat([0 * wanted, beside, wanted + 2 * beside])
    a, b = aldd.flat_map([first, second], [unedited, unedited], page, truth)
    np.testing.assert_allclose(a, [[0, 0], [0.5, 0], [1, 0]], atol=1e-9)
    np.testing.assert_allclose(b, [[0, 0], [0, 1], [1, 2]], atol=1e-9)


# information preservation and identity


def test_curves_are_the_means_over_handles(editor, page):
    result = editor.drag(page, config=SMALL, keep=["maps"])
    curves = ip.curves(result)
    expected = [np.mean([float(m.min()) for m in op.maps]) for op in result.history]
    np.testing.assert_allclose(curves["distance"], expected, atol=1e-4)
    assert len(curves["spread"]) == SMALL.K and ip.guess(result, 1).size == page.image.size


def test_a_crop_has_the_point_in_its_middle():
    image = picture()
    crop = ip.around(image, np.array([20.2, 30.7]), 3)
    assert crop.size == (7, 7) and crop.getpixel((3, 3)) == image.getpixel((20, 31))
    assert ip.around(image, np.array([0, 0]), 3).getpixel((0, 0)) == ImageColor.getrgb(ip.OUTSIDE)


def test_denoising_from_where_dragging_ended_is_the_edit(editor, page):
    end = identity.DragEnd()
    result = editor.drag(page, config=SMALL, callback=end)
    again = identity.finished(editor, SMALL, end.t, end.z, end.source, SMALL.masactrl_start)
    torch.testing.assert_close(again, result.latent, atol=1e-4, rtol=1e-4)
    plain = editor.drag(page, config=replace(SMALL, masactrl=False)).latent
    torch.testing.assert_close(
        identity.finished(editor, SMALL, end.t, end.z, end.source, 16), plain, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("rank", [1, 3])
def test_the_predicted_size_is_the_fit_ones(editor, rank):
    lora = fit(editor.model, editor.z_0, gd.LoraConfig(rank=rank, steps=1))
    assert identity.lora_size(editor.model, rank) == sum(value.numel() for value in lora.values())


# a study


@pytest.fixture(scope="module")
def computed(editor, page):
    ways = {name: {**changes, "num_steps": 10, "strength": 0.5, "K": min(changes.get("K", 4), 4), "B": 2, "r2": 4}
            for name, changes in {**aldd.WAYS, **ip.WAYS}.items()}  # fmt: skip
    lora = gd.LoraConfig(rank=2, steps=2)
    first = Study("first", {k: v for k, v in ways.items() if k in aldd.WAYS}, aldd.measure, lora=lora)
    second = Study("second", {k: v for k, v in ways.items() if k in ip.WAYS}, ip.measure, lora=lora)
    return {s.name: s.compute(editor.model, [page, page]) for s in (first, second)}


def test_one_record_per_edit_and_way(computed):
    assert [(r["edit"], r["way"]) for r in computed["first"]] == [(i, way) for i in (0, 1) for way in aldd.WAYS]
    for record in computed["first"] + computed["second"]:
        assert {"name", "task", "truth", "damage", "dai", "way_gone", "seconds"} <= set(record)
        json.dumps(record)


def test_every_rule_reads_what_the_studies_write(computed):
    written = {f"{aldd.STUDY.name}.json": computed["first"], f"{ip.STUDY.name}.json": computed["second"]}
    for claim, (file, rule) in verdicts.RULES.items():
        if file not in written:
            continue
        records = [{**r, "distance": r["distance"] * 18} if "distance" in r else r for r in written[file]]  # K = 72
        assert rule(records).verdict == "untested", claim  # two edits are too few
        many = [{**record, "edit": 2 * i + record["edit"]} for i in range(8) for record in records]
        assert rule(many).verdict in ("reproduced", "partly", "not reproduced") and rule(many).ours


def test_masactrl_and_lora_measures(editor, page, monkeypatch):
    records = identity.measure_masactrl(editor, page, {"released": SMALL}, starts=(0, 16))
    assert [r["way"] for r in records] == ["from layer 0", identity.PLAIN] and records[0]["dai"] != records[1]["dai"]
    monkeypatch.setattr(identity, "FITS", {"none": gd.LoraConfig(steps=0), "one": gd.LoraConfig(rank=1, steps=1)})
    records = identity.measure_lora(editor, page, {"released": SMALL})
    assert [r["way"] for r in records] == ["none", "one"] and all(r["reconstruction"] > 0 for r in records)


def test_results_are_read_and_computed_only_when_asked(editor, tmp_path):
    calls = []
    small = Study("small", {"a": {}}, lambda *_: calls.append(1) or [{"way": "a"}], n=1, lora=gd.LoraConfig(steps=0))
    with pytest.raises(ValueError, match="small.json is not there"):
        small.results(editor.model, tmp_path)
    made = small.results(editor.model, tmp_path, recompute=True)
    assert small.results(editor.model, tmp_path) == made and len(calls) == 1
    with pytest.warns(UserWarning, match="other settings"):
        replace(small, ways={"a": {"J": 1}}).results(editor.model, tmp_path)


def test_an_interrupted_recomputation_goes_on_and_may_be_shared(editor, tmp_path, monkeypatch):
    monkeypatch.setenv("GOODDRAG_CACHE", str(tmp_path / "cache"))
    calls = []

    def measure(_, sample, configs):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(sample.name)
        return [{"way": "a"}]

    small = Study("small", {"a": {}}, measure, n=4, lora=gd.LoraConfig(steps=0))
    with pytest.raises(KeyboardInterrupt):
        small.results(editor.model, tmp_path, recompute=True)
    assert not (tmp_path / "small.json").exists()
    rest = replace(small, measure=lambda _, sample, configs: calls.append(sample.name) or [{"way": "a"}])
    drawn = study.samples(editor.model, 4)
    others = rest.compute(editor.model, drawn, parts=rest.parts(editor.model), share=(1, 2))
    assert [r["edit"] for r in others] == [1, 3] and calls == [drawn[i].name for i in (0, 1, 3)]
    (rest.parts(editor.model) / ".002-of-a-killed-process.json").write_text("{")
    part = rest.parts(editor.model) / "001.json"
    part.write_text(json.dumps([3600.0, json.loads(part.read_text())[1]]))  # as if it had taken an hour
    made = rest.results(editor.model, tmp_path, recompute=True)
    assert [r["edit"] for r in made["data"]] == [0, 1, 2, 3] and calls[3:] == [drawn[2].name]
    assert made["seconds"] >= 3600 and not rest.parts(editor.model).exists()


def test_ways_are_compared_edit_by_edit():
    records = [{"way": way, "truth": x} for i in range(4) for way, x in (("a", i), ("b", [9, 2, 1, 4][i]))]
    pair = study.versus(records, "a", "b")
    assert (pair.n, pair.wins) == (4, 3)
    assert study.versus(records, "a", "b", sign=-1).wins == 1
    positive = [{**r, "truth": r["truth"] + 1} for r in records]
    assert study.clearest(positive, "a", "b") == 0
    with pytest.raises(ValueError, match="way: 'c'; expected one of a, b"):
        study.column(records, "c", "truth")


# verdicts and the ledger


def records_of(better, n=12, way=ip.THREE, other=ip.WITHOUT):
    """n edits of which the first way wins so many, twice as good; at the 90th update and late in the run."""
    return [{"way": w, "late_distance": x, "distance": [9.0] * 29 + [x] + [9.0] * 40}
            for i in range(n) for w, x in ((way, 1.0 if i < better else 4.0), (other, 2.0))]  # fmt: skip


@pytest.mark.parametrize(
    "wins, verdict, why",
    [(12, "reproduced", ""), (10, "reproduced", ""), (8, "not reproduced", "undecided"),
     (6, "not reproduced", "undecided"), (1, "not reproduced", "fails")],
)  # fmt: skip
def test_the_rule_is_the_interval(wins, verdict, why):
    said = verdicts.fig5(records_of(wins))
    assert said.verdict == verdict and f"{wins} of 12" in said.ours
    assert said.why == why


def test_some_parts_make_partly():
    parts = [verdicts.Part("a", "1", "holds"), verdicts.Part("b", "2", "undecided"), verdicts.Part("c", "3", "fails")]
    assert verdicts.judge(parts, 12) == verdicts.Verdict("partly", "a: 1; b: 2; c: 3", "undecided: b; fails: c")
    assert verdicts.judge(parts[1:], 12).verdict == "not reproduced"
    assert verdicts.judge(parts[:1], 12) == verdicts.Verdict("reproduced", "a: 1", "")


@pytest.mark.parametrize(
    "low, high, status",
    [(0.4, 0.6, "holds"), (0.6, 0.7, "weaker"), (0.6, 1.1, "undecided"), (1.1, 1.2, "fails")],
)  # fmt: skip
def test_a_ratio_is_held_against_its_bound_and_against_one(low, high, status):
    ratio = metrics.Interval((low + high) / 2, low, high, 12)
    assert verdicts.Part.ratio("r", ratio, 2 / 3).status == status


def test_eleven_edits_are_too_few():
    assert verdicts.fig5(records_of(11, n=11)).verdict == "untested"


def test_much_smaller_is_not_just_smaller():
    assert verdicts.fig14b(records_of(12)).verdict == "reproduced"
    hardly = [{**r, "late_distance": 1.9} if r["way"] == ip.THREE else r for r in records_of(12)]
    assert verdicts.fig14b(hardly).verdict == "partly" and verdicts.fig14b(hardly).why == "weaker: mean ratio"


def test_overhead_is_exact():
    same = [{"way": way, "latents": 286, "backwards": 210} for _ in range(12) for way in aldd.WAYS]
    assert verdicts.overhead(same).verdict == "reproduced" and "286" in verdicts.overhead(same).ours
    assert verdicts.overhead([{**same[0], "latents": 287}, *same[1:]]).verdict == "not reproduced"


def test_ledger_is_filled_from_files(tmp_path):
    row = {"id": "fig5", "source": "Fig. 5", "claim": "c", "paper": "p", "where": "", "model": "", "ours": "",
           "verdict": "untested", "why": "w"}  # fmt: skip
    book = tmp_path / "claims.json"
    book.write_text(json.dumps({"about": "a", "claims": [row, {**row, "id": "table1"}]}))
    results = tmp_path / "results"
    results.mkdir()
    assert ledger.fill(book, results) == []
    record = {"model": "storybook", "weights": "0", "settings": {}, "data": records_of(12)}
    (results / "ip.json").write_text(json.dumps(record))
    assert [line.split(":")[0] for line in ledger.fill(book, results)] == ["fig5"]
    first, second = json.loads(book.read_text())["claims"]
    assert first["verdict"] == "reproduced" and first["where"] == "results/ip.json" and first["model"] == "storybook"
    assert second == {**row, "id": "table1"}
    (results / "ip.json").write_text(json.dumps(record | {"data": records_of(3, n=3)}))
    ledger.fill(book, results)
    first, _ = json.loads(book.read_text())["claims"]
    assert first["verdict"] == "untested" and first["why"] and not first["where"]


def test_the_rules_on_a_benchmark_table():
    """The ratio of the means must be well below one with its whole interval, at every radius."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)

    def table(mine, n=40):
        base = rng.uniform(0.1, 0.2, n)
        rows = [{"sample": f"s{i}", "method": method, "seed": 0, **{f"dai_{g}": x * factor for g in (1, 5, 10, 20)}}
                for method, factor in (("GoodDrag", mine), ("DragDiffusion", 1), ("DragDiffusion*", 0.9))
                for i, x in enumerate(base)]  # fmt: skip
        return pd.DataFrame(rows)

    ranked = pd.DataFrame([{"sample": f"s{i}", "method": method, "truth_error_inside_mask": error, "ssim_truth": ssim}
                           for i in range(12)
                           for method, error, ssim in (("GoodDrag", 1, 0.8), ("DragDiffusion", 2, 0.9),
                                                       ("SDE-Drag", 2, 0.7))])  # fmt: skip
    said = verdicts.RULES["fig11_here"][1](ranked)
    assert said.verdict == "partly" and said.why == "fails: quality, before DragDiffusion"

    def dragged(method, error, operations):
        return [{"sample": f"s{i}", "method": method, "truth_error_inside_mask": error, "damage_outside_mask": error,
                 "drag_operations": operations if i else 9} for i in range(13)]  # fmt: skip

    pair = pd.DataFrame(dragged("GoodDrag", 1.0, 10) + dragged("GoodDrag without AlDD", 2.0, 70))
    assert verdicts.alternated(pair)["sample"].nunique() == 12  # the first stopped before anything alternated
    said = verdicts.RULES["aldd_here"][1](pair)
    assert said.verdict == "reproduced" and said.ours.startswith("nearer to the truth: 12 of 12")
    assert verdicts.RULES["aldd_here"][1](pair.assign(drag_operations=9)).verdict == "untested"
    with pytest.raises(ValueError, match="no drag operations of GoodDrag on s0"):
        verdicts.alternated(pair.assign(drag_operations=np.nan))

    rule, star = (verdicts.RULES[claim][1] for claim in ("table1_here", "star_here"))
    assert rule(table(0.5)).verdict == star(table(0.5)).verdict == "reproduced"
    assert rule(table(0.7)).verdict == "partly" and star(table(0.7)).verdict == "reproduced"  # 0.7 / 0.9 < 0.8
    assert rule(table(0.7)).why == "weaker"
    assert rule(table(1.1)).verdict == star(table(1.1)).verdict == "not reproduced"
    assert rule(table(0.5, 11)).verdict == "untested"
    assert "40 edits, radius 1: 0.50 (0.50 to 0.50)" in rule(table(0.5)).ours
