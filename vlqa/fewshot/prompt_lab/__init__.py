"""The prompt laboratory: sentences ranked by opinions, a search for better ones, what wording is worth."""

from __future__ import annotations

from vlqa.fewshot.prompt_lab.factors import Sensitivity
from vlqa.fewshot.prompt_lab.found import SearchResult
from vlqa.fewshot.prompt_lab.ranking import PromptRanking, rank_prompts
from vlqa.fewshot.prompt_lab.search import search_prompts
from vlqa.fewshot.prompt_lab.sensitivity import prompt_sensitivity
from vlqa.fewshot.prompt_lab.words import WordLists

__all__ = [
    "PromptRanking",
    "SearchResult",
    "Sensitivity",
    "WordLists",
    "prompt_sensitivity",
    "rank_prompts",
    "search_prompts",
]
