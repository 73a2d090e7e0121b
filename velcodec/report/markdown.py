"""A report's tables as markdown. docs/evaluation.md explains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from velcodec.report import paper
from velcodec.report.coding import ARCHIVES, LATENTS, UNQUANTISED
from velcodec.report.figures import METRICS
from velcodec.report.super_resolution import CODED, METHODS, RESOLUTIONS, UPSAMPLINGS

CODING_NAMES = {UNQUANTISED: "latent not quantised", LATENTS: "latents"}
METHOD_NAMES = {
    **{m: m for m in ARCHIVES},
    **CODING_NAMES,
    **{m: f"{m} of 70 x 70" for m in UPSAMPLINGS},
}
METRIC_NAMES = {"psnr_db": "PSNR, dB", "ssim": "SSIM", "mse": "MSE, (m/s)²"}
DIGITS = {"psnr_db": 2, "ssim": 4, "mse": 0}
NO_VALUE = "-"


def markdown(tables: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The report. `pictures` are file names by kind, empty for none."""
    sections = [
        _about(tables),
        _overall(tables["overall"]),
        _families(tables["families"], pictures),
        _interpolation(tables["interpolation"], pictures),
        _super_resolution(tables["super_resolution"], pictures),
        _storage(tables["storage"]),
        _latent_norm(tables["latent_norm"], pictures),
        _ablation(tables["ablation"]),
    ]
    return "\n\n".join(part for part in sections if part) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; the first column flush left, figures flush right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None, digits: int) -> str:
    """A figure with thousands separated; a dash for none and not-a-number."""
    return NO_VALUE if value is None or value != value else f"{value:,.{digits}f}"


def _picture(pictures: Mapping[str, str], kind: str, text: str) -> str:
    return f"\n\n![{text}]({pictures[kind]})" if kind in pictures else ""


def _about(tables: Mapping[str, Any]) -> str:
    decoder = tables["decoder"]
    rows = [
        [
            one["family"],
            one["source"],
            f"{one['models']:,}",
            f"{one['nz']} x {one['nx']}",
            number(one["budget_bytes_per_model"], 1),
            number(one["latents_bytes_per_model"], 1),
        ]
        for one in tables["data"]
    ]
    heads = ["family", "source", "models", "samples", "bytes/model allowed", "bytes/model"]
    return (
        "# Evaluation report\n\n"
        f"velcodec {tables['velcodec']}, decoder {decoder['name']} "
        f"(`{decoder['hash'][:16]}`, {decoder['architecture']}, {decoder['parameters']:,} "
        f"parameters), fit {decoder['fit']}. PSNR over a fixed range of 3000 m/s, MSE in (m/s)².\n"
        '"Latent not quantised": floats, as in the paper. "Latents": a real archive of the whole '
        "family that holds latents alone, its size divided by its models, the decoder not counted. "
        "The paper's figures are of the models that it was trained on, at 256 floats each.\n\n"
        + table(heads, rows)
    )


def _overall(overall: Mapping[str, Any]) -> str:
    rows = []
    for coding, name in CODING_NAMES.items():
        for metric in METRICS:
            found, digits = overall[coding][metric], DIGITS[metric]
            cells = [number(found[key], digits) for key in ("mean", "std", "max", "min")]
            rows.append([f"{METRIC_NAMES[metric]}, {name}", *cells])
    for metric, values in paper.OVERALL.items():
        cells = [number(value, DIGITS[metric]) for value in values]
        rows.append([f"{METRIC_NAMES[metric]}, the paper", *cells])
    of_mean = ", ".join(
        f"{number(overall[coding]['psnr_db_of_mean_mse'], 2)} dB ({name})"
        for coding, name in CODING_NAMES.items()
    )
    return (
        "## Reconstruction, all models\n\n"
        + table(["", "mean", "std", "max", "min"], rows)
        + f"\n\nPSNR of the mean MSE: {of_mean}; always at or below the mean PSNR."
    )


def _families(families: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    heads = ["family, mean (std)"]
    heads += [f"{METRIC_NAMES[m]}, {name}" for name in CODING_NAMES.values() for m in METRICS]
    rows = []
    for family, found in families.items():
        cells = [
            f"{number(found[coding][m]['mean'], DIGITS[m])} "
            f"({number(found[coding][m]['std'], DIGITS[m])})"
            for coding in CODING_NAMES
            for m in METRICS
        ]
        own = paper.family_figures(family)
        rows.append([family, *cells, NO_VALUE if own is None else f"{own[0]:.2f} / {own[1]:.3f}"])
    return (
        "## Reconstruction, by family\n\n"
        + table([*heads, "the paper"], rows)
        + _picture(pictures, "reconstruction", "A model of each family and its renderings")
    )


def _interpolation(found: Mapping[str, Any] | None, pictures: Mapping[str, str]) -> str:
    title = "## Interpolation between two latents\n\n"
    if found is None:
        return title + "No family has two models."
    rows = [
        [f"{row['alpha']:.2f}"]
        + [
            number(row[key], 0)
            for key in (
                "mse_to_a", "mse_to_b", "crossfade_to_a", "crossfade_to_b",
                "mse_to_model_a", "mse_to_model_b",
            )
        ]
        for row in found["rows"]
    ]  # fmt: skip
    heads = ["alpha", "MSE to rendering A", "to rendering B", "cross-fade to A", "cross-fade to B"]
    heads += ["to model A", "to model B"]
    families = ", ".join(
        f"{name} {100 * share:.1f} %" for name, share in found["asymmetry_of_family"].items()
    )
    return (
        f"{title}Means over {found['pairs']} pairs, each within one family, (m/s)². Cross-fade: "
        "the error of fading one picture into the other.\n\n"
        + table(heads, rows)
        + "\n\nSymmetry, the mean distance of MSE to A at alpha from MSE to B at 1 - alpha as a "
        f"share of the MSE between A and B: {100 * found['asymmetry_of_means']:.1f} % for the "
        f"table above, {100 * found['asymmetry']:.1f} % for single pairs ({families})."
        + _picture(pictures, "interpolation", "From A to B in steps of alpha")
        + _picture(pictures, "interpolation_error", "MSE to A and B over alpha")
    )


def _super_resolution(rows: Sequence[Mapping[str, Any]], pictures: Mapping[str, str]) -> str:
    overall = [row for row in rows if row["family"] == "all"]
    parts = [
        "## Super-resolution\n\n"
        f"{overall[0]['models']:,} generated models, coded at 70 x 70 and measured against the "
        "generator's exact values at the finer grid; upsamplings of the uncompressed 70 x 70 grid "
        'beside them. "Default", "lossless" and "stored" (within the bytes allowed) are archives '
        "whose records hold whatever was best, a latent or samples. Each cell is PSNR in dB / "
        "SSIM, the best PSNR of a row in bold."
    ]
    for res in RESOLUTIONS:
        own = [row for row in rows if row["resolution"] == res]
        methods = CODED if res == RESOLUTIONS[0] else METHODS
        lines = [[row["family"], *_qualities(row, methods)] for row in own]
        heads = [f"{res} x {res}", *(METHOD_NAMES[m] for m in methods)]
        part = table(heads, lines)
        if res in paper.RESOLUTIONS:
            psnr, ssim = paper.RESOLUTIONS[res]
            part += f"\n\nThe paper: {psnr:.2f} / {ssim:.3f}."
        parts.append(part)
    parts.append(
        table(
            ["all families", "method", *METRIC_NAMES.values()],
            [
                [
                    f"{row['resolution']} x {row['resolution']}",
                    METHOD_NAMES[method],
                    *(number(row[method][metric], DIGITS[metric]) for metric in METRICS),
                ]
                for row in overall
                for method in (CODED if row["resolution"] == RESOLUTIONS[0] else METHODS)
            ],
        )
    )
    sizes = [
        [row["family"], *(number(size, 1) for size in row["bytes_per_model"].values())]
        for row in rows
        if row["resolution"] == RESOLUTIONS[0]
    ]
    heads = ["bytes/model", *(METHOD_NAMES[m] for m in (*ARCHIVES, LATENTS))]
    parts.append(table(heads, sizes))
    return "\n\n".join(parts) + _picture(
        pictures, "super_resolution", "Part of a model of each family at 280 x 280"
    )


def _qualities(row: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    """PSNR and SSIM of each method; the best PSNR in bold, but at the native grid."""
    best = max(methods, key=lambda method: row[method]["psnr_db"])
    cells = [f"{number(row[m]['psnr_db'], 2)} / {number(row[m]['ssim'], 4)}" for m in methods]
    return [
        f"**{cell}**" if methods is METHODS and method == best else cell
        for method, cell in zip(methods, cells, strict=True)
    ]


def _storage(found: Mapping[str, Any]) -> str:
    files = [
        [
            one["family"],
            f"{one['models']:,}",
            f"{one['bytes']:,}",
            number(one["bytes_per_model"], 1),
            f"{one['grid_bytes_per_model'] / one['bytes_per_model']:,.0f} : 1",
        ]
        for one in found["files"]
    ]
    rows = []
    for row in found["collections"]:
        ours = row["written_bytes"] or row["extrapolated_bytes"]
        with_decoder = ours and ours + found["decoder_bytes"]
        rows.append(
            [
                f"{row['models']:,}",
                number(row["grid_bytes"], 0),
                number(row["extrapolated_bytes"], 0),
                number(row["written_bytes"], 0),
                number(with_decoder, 0),
                number(ours and row["grid_bytes"] / with_decoder, 0),
                number(row["paper_bytes"], 0),
                number(row["paper_total_bytes"], 0),
            ]
        )
    split = "One model only, so its cost cannot be split into a fixed part and a part per model."
    if found["fixed_bytes"] is not None:
        split = (
            f"A file takes {found['fixed_bytes']:,.0f} bytes, and "
            f"{found['bytes_of_each_model']:.1f} bytes for each model: measured on three files of "
            f"the {found['measured_on_models']:,} models above, all of them and each half."
        )
    heads = ["models", "float32 grids", "archive, extrapolated", "archive, written"]
    heads += ["with decoder", "grids / (archive + decoder)", "paper's latents", "with its decoder"]
    return (
        "## Storage\n\n"
        + table(["file", "models", "bytes", "bytes/model", "float32 grids : file"], files)
        + f"\n\n{split} The decoder's file has {found['decoder_bytes']:,} bytes.\n\n"
        + table(heads, rows)
        + "\n\nBytes. Extrapolated: from the two parts. Written: an archive of so many records "
        'was written, the coded models repeated in random order; a dash where none was. "With '
        "decoder\" takes the written size where there is one. The paper's latents are 256 "
        "float32, its decoder 1,048,576 by its own count."
    )


def _latent_norm(found: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    rows = [
        [name, *(number(own[coding], 3) for coding in CODING_NAMES)]
        for name, own in ({"all": found["all"]} | found["families"]).items()
    ]
    heads = ["Pearson's r with PSNR", *CODING_NAMES.values()]
    return (
        "## Latent norm and quality\n\nThe norm is that of the latent not quantised.\n\n"
        + table(heads, rows)
        + _picture(pictures, "latent_norm", "Latent norm against PSNR")
    )


def _ablation(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    recipe = found["recipe"]
    rows = [
        [run["activation"], f"{run['learning_rate']:g}", number(run["psnr_db"], 2)]
        for run in found["runs"]
    ]
    best = found["best_psnr_db"]
    return (
        "## Sine against ReLU at equal cost\n\n"
        f"The paper's trunk scaled down ({recipe['hidden_layers']} hidden layers of "
        f"{recipe['width']}, {found['parameters']:,} parameters), trained from scratch with the "
        f"latents for {recipe['steps']:,} steps on {found['models']} generated models; PSNR on "
        "those models.\n\n"
        + table(["activation", "learning rate", METRIC_NAMES["psnr_db"]], rows)
        + f"\n\nAt the better learning rate of each: sine {best['sine']:.2f} dB, "
        f"ReLU {best['relu']:.2f} dB."
    )
