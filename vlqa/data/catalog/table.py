"""The public sets vlqa reads: one row each. A new set adds its row here and its reader."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from vlqa.data.catalog import authentic, generated, synthetic
from vlqa.data.catalog.folder import Folder
from vlqa.data.table import Table
from vlqa.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class PublicSet:
    """What a person chooses a set by, and what its files are found by.

    Attributes:
        title: what its authors call it.
        what: one line on what is in it.
        count: rated pictures, references and pictures that trained the raters not counted.
        scale: (lowest, highest) that `mos` can have in the manifest, higher is better.
        scores: how the authors give their scores, and what was done to them.
        split: whether the authors publish one.
        citation: what to cite.
        licence: terms as far as they are published; no legal advice.
        home: the web page it comes from.
        folders: what its unpacked folder is called, in lower case.
        labels: its label file, or the names that file goes by; the set is where one of them is.
        read: gives its rows in the columns of a label file.
        images: folder that the paths start from, inside its own.
    """

    title: str
    what: str
    count: int
    scale: tuple[float, float]
    scores: str
    split: bool
    citation: str
    licence: str
    home: str
    folders: tuple[str, ...]
    labels: tuple[str, ...]
    read: Callable[[Folder], Table] = field(repr=False)
    images: str = ""


_UT_AUSTIN = "free for any purpose with UT Austin's copyright notice and the citation"
_KONIQ = PublicSet(
    title="KonIQ-10k",
    what="photographs of Flickr at 1024×768",
    count=10_073,
    scale=(1, 5),
    scores="mean of votes 1–5, computed where the table at hand gives it on 0–100",
    split=True,
    citation="Hosu, Lin, Sziranyi, Saupe: KonIQ-10k: An Ecologically Valid Database for Deep Learning of Blind Image "
    "Quality Assessment. IEEE TIP 29, 2020 (arXiv 1910.06180)",
    licence="free for research (home page); no formal licence of the photographs",
    home="https://database.mmsp-kn.de/koniq-10k-database.html",
    folders=("koniq10k", "koniq-10k", "koniq_10k", "koniq"),
    labels=authentic.KONIQ_SCORES + authentic.KONIQ_SETS,
    read=authentic.koniq10k,
)

# Layouts were compared with public code that reads the sets and with the authors' pages and files where these are open;
# what could not be is said at the row.
SETS: dict[str, PublicSet] = {
    "live": PublicSet(
        title="LIVE release 2",
        what="29 photographs, 5 kinds of damage",
        count=779,
        scale=(0, 115),
        scores="realigned DMOS −2.6 to 111.8, turned: the largest minus each",
        split=False,
        citation="Sheikh, Sabir, Bovik: A Statistical Evaluation of Recent Full Reference Image Quality Assessment "
        "Algorithms. IEEE TIP 15(11), 2006",
        licence=f"{_UT_AUSTIN}; some of the photographs belong to others",
        home="https://live.ece.utexas.edu/research/quality/subjective.htm",
        folders=("databaserelease2", "live", "liveiqa_release2"),
        labels=("dmos_realigned.mat", "dmos.mat"),
        read=synthetic.live,
    ),
    "csiq": PublicSet(
        title="CSIQ",
        what="30 photographs, 6 kinds of damage",
        count=866,
        scale=(0, 1),
        scores="DMOS 0–1, turned: 1 minus each",
        split=False,
        citation="Larson, Chandler: Most Apparent Distortion: Full-Reference Image Quality Assessment and the Role of "
        "Strategy. Journal of Electronic Imaging 19(1), 2010",
        licence="none stated",
        home="https://s2.smu.edu/~eclarson/csiq.html",
        folders=("csiq",),
        labels=("csiq.DMOS.xlsx",),
        read=synthetic.csiq,
    ),
    "tid2013": PublicSet(
        title="TID2013",
        what="25 photographs, 24 kinds of damage at 5 levels",
        count=3000,
        scale=(0, 9),
        scores="MOS 0–9",
        split=False,
        citation="Ponomarenko et al.: Image Database TID2013: Peculiarities, Results and Perspectives. Signal "
        "Processing: Image Communication 30, 2015",
        licence="see its readme; that of TID2008 allows education and research",
        home="https://www.ponomarenko.info/tid2013.htm",
        folders=("tid2013", "tid_2013"),
        labels=("mos_with_names.txt",),
        read=synthetic.tid2013,
    ),
    "kadid10k": PublicSet(
        title="KADID-10k",
        what="81 photographs, 25 kinds of damage at 5 levels",
        count=10_125,
        scale=(1, 5),
        scores="MOS 1–5 (the file says dmos, but higher is better)",
        split=False,
        citation="Lin, Hosu, Saupe: KADID-10k: A Large-scale Artificially Distorted IQA Database. QoMEX 2019",
        licence="free for research (home page); no formal licence",
        home="https://database.mmsp-kn.de/kadid-10k-database.html",
        folders=("kadid10k", "kadid-10k", "kadid_10k"),
        labels=("dmos.csv",),
        read=synthetic.kadid10k,
        images="images",
    ),
    # Scores are said to lie about 900–1850; Elo has no bounds. In which of the four folders a picture belongs is known
    # from listings of their first files alone, and asked only where it is missing.
    "pipal": PublicSet(
        title="PIPAL",
        what="200 pictures, 116 restored or damaged versions each (the public training part)",
        count=23_200,
        scale=(850, 1900),
        scores="Elo ratings of pairwise votes; comparable within a reference",
        split=False,
        citation="Gu et al.: PIPAL: a Large-Scale Image Quality Assessment Dataset for Perceptual Image Restoration. "
        "ECCV 2020 (arXiv 2007.12142)",
        licence="none stated",
        home="https://github.com/HaomingCai/PIPAL-dataset",
        folders=("pipal", "training"),
        labels=("Train_Label",),
        read=synthetic.pipal,
    ),
    # Its own page was not found open; copies are linked by later work (github.com/zwx8981/UNIQUE).
    "bid": PublicSet(
        title="BID",
        what="photographs with real blur",
        count=586,
        scale=(0, 5),
        scores="MOS 0–5",
        split=False,
        citation="Ciancio et al.: No-Reference Blur Assessment of Digital Pictures Based on Multifeature Classifiers. "
        "IEEE TIP 20(1), 2011",
        licence="none stated",
        home="http://www02.smt.ufrj.br/~eduardo/ImageDatabase.htm",
        folders=("bid", "imagedatabase"),
        labels=("DatabaseGrades.xlsx",),
        read=authentic.bid,
    ),
    "clive": PublicSet(
        title="LIVE In the Wild (LIVE Challenge)",
        what="photographs of phones and tablets",
        count=1162,
        scale=(0, 100),
        scores="MOS 0–100; the 7 pictures that trained the raters are left out",
        split=False,
        citation="Ghadiyaram, Bovik: Massive Online Crowdsourced Study of Subjective and Objective Picture Quality. "
        "IEEE TIP 25(1), 2016",
        licence=_UT_AUSTIN,
        home="https://live.ece.utexas.edu/research/ChallengeDB/index.html",
        folders=("challengedb_release", "clive", "livec"),
        labels=("Data/AllMOS_release.mat",),
        read=authentic.live_challenge,
    ),
    "koniq10k": _KONIQ,
    "koniq10k-512": dataclasses.replace(
        _KONIQ, title="KonIQ-10k, small", what="the same at 512×384", read=authentic.koniq10k_512
    ),
    "spaq": PublicSet(
        title="SPAQ",
        what="photographs of 66 smartphones, with scenes",
        count=11_125,
        scale=(0, 100),
        scores="MOS 0–100",
        split=False,
        citation="Fang, Zhu, Zeng, Ma, Wang: Perceptual Quality Assessment of Smartphone Photography. CVPR 2020",
        licence="education and research only (its readme)",
        home="https://github.com/h4nwei/SPAQ",
        folders=("spaq",),
        labels=tuple(place + name for place in ("Annotations/", "") for name in authentic.SPAQ_SCORES),
        read=authentic.spaq,
    ),
    # The names of the two files that hold the split differ between copies (Windows has no < and >).
    "flive": PublicSet(
        title="FLIVE (PaQ-2-PiQ)",
        what="photographs of four older sets, as whole pictures",
        count=39_810,
        scale=(0, 100),
        scores="MOS 0–100",
        split=True,
        citation="Ying et al.: From Patches to Pictures (PaQ-2-PiQ): Mapping the Perceptual Space of Picture Quality. "
        "CVPR 2020 (arXiv 1912.10088)",
        licence="none stated for the scores; the photographs have those of their sources",
        home="https://github.com/niu-haoran/FLIVE_Database",
        folders=("flive_database", "flive", "paq-2-piq", "fblive"),
        labels=("labels_image.csv", "database/labels_image.csv"),
        read=authentic.flive,
    ),
    # Scale: raters used 0–5, the published scores are normalised; that they stay inside was not checked.
    "agiqa1k": PublicSet(
        title="AGIQA-1K",
        what="pictures of two text-to-image models",
        count=1080,
        scale=(0, 5),
        scores="normalised MOS on 0–5",
        split=False,
        citation="Zhang et al.: A Perceptual Quality Assessment Exploration for AIGC Images. 2023 (arXiv 2303.12618)",
        licence="MIT",
        home="https://github.com/lcysyzxdxc/AGIQA-1k-Database",
        folders=("agiqa-1k", "agiqa1k", "agiqa-1k-database"),
        labels=("AIGC_MOS_Zscore.xlsx",),
        read=generated.agiqa1k,
    ),
    "agiqa3k": PublicSet(
        title="AGIQA-3K",
        what="pictures of six text-to-image models",
        count=2982,
        scale=(0, 5),
        scores="normalised MOS of quality on 0–5",
        split=False,
        citation="Li et al.: AGIQA-3K: An Open Database for AI-Generated Image Quality Assessment. IEEE TCSVT 2023 "
        "(arXiv 2306.04717)",
        licence="MIT",
        home="https://github.com/lcysyzxdxc/AGIQA-3k-Database",
        folders=("agiqa-3k", "agiqa3k", "agiqa-3k-database"),
        labels=("data.csv",),
        read=generated.agiqa3k,
    ),
    # Scale as public code divides it; the file itself was not seen.
    "cgiqa6k": PublicSet(
        title="CGIQA-6k",
        what="rendered pictures of games and films",
        count=6000,
        scale=(0, 5),
        scores="MOS 0–5",
        split=False,
        citation="Zhang et al.: Subjective and Objective Quality Assessment for in-the-Wild Computer Graphics Images. "
        "ACM TOMM 2023 (arXiv 2303.08050)",
        licence="none stated",
        home="https://github.com/zzc-1998/CGIQA6K",
        folders=("cgiqa-6k", "cgiqa6k"),
        labels=("mos.csv",),
        read=generated.cgiqa6k,
    ),
    "uhd-iqa": PublicSet(
        title="UHD-IQA",
        what="popular photographs 3840 px wide",
        count=6073,
        scale=(0, 1),
        scores="MOS 0–1",
        split=True,
        citation="Hosu, Agnolucci, Wiedemann, Iso, Saupe: UHD-IQA Benchmark Database: Pushing the Boundaries of Blind "
        "Photo Quality Assessment. ECCV workshops 2024 (arXiv 2406.17472)",
        licence="photographs CC0 (Pixabay); scores free for research (home page)",
        home="https://database.mmsp-kn.de/uhd-iqa-benchmark-database.html",
        folders=("uhd-iqa-database", "uhd-iqa", "uhdiqa"),
        labels=("uhd-iqa-metadata.csv", "uhd-iqa-training-metadata.csv"),
        read=authentic.uhd_iqa,
    ),
}


def find(name: str) -> PublicSet:
    """The row of a set; case, blanks, hyphens and underscores do not matter.

    Raises:
        ConfigError: there is no such set; the message lists all.
    """
    by_letters = {_letters(each): row for each, row in SETS.items()}
    row = by_letters.get(_letters(name))
    if row is None:
        raise ConfigError(f"{name!r} is no set of the catalogue{did_you_mean(name, SETS)}; there are {', '.join(SETS)}")
    return row


def _letters(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
