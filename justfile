# Millrace: raw crawl in, a corpus that answers SQL out. `just` lists what there is; each recipe sets up what it needs.
set positional-arguments
export PYTHONUNBUFFERED := "1"
# Threads that wait let go of their core: where others use it too, torch is 2.6 times as fast (LOG.md)
export OMP_WAIT_POLICY := env("OMP_WAIT_POLICY", "PASSIVE")
# Where images forbid Python to keep compiled modules, each command would spend ten seconds on compiling them anew
export PYTHONDONTWRITEBYTECODE := ""
export MILLRACE_HOME := if env("MILLRACE_HOME", "") == "" { justfile_directory() / "lake" } else { env("MILLRACE_HOME") }

# Commands run in the folder that they are called from, so that paths mean what they mean there; -P takes no modules from it
python := quote(justfile_directory() / ".venv/bin/python")

# List the recipes
@default:
    just --list --unsorted

# Build a corpus: `just build-corpus [RECIPE] [field=value …] [--dry-run]`; the default one needs no input
[no-cd, no-exit-message]
build-corpus *args: (_setup "data")
    @{{ python }} -P -m configs build-corpus "$@"

# Crawl a site of your own into WARC files: `just crawl NAME seeds=https://example.org/ [field=value …]`
[no-cd, no-exit-message]
crawl *args: (_setup "data")
    @{{ python }} -P -m configs crawl "$@"

# Is this text already here? `just near TEXT|FILE --in CORPUS`; `just near --curve 0.8` shows bands and rows
[no-cd, no-exit-message]
near *args: (_setup "data")
    @{{ python }} -P -m configs near "$@"

# Learn a tokenizer from a corpus: `just train-tokenizer [NAME] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
train-tokenizer *args: (_setup "data" "training")
    @{{ python }} -P -m configs train-tokenizer "$@"

# New tokens for a tokenizer and its model: `just extend-tokenizer NAME model=FOLDER corpus=CORPUS [field=value …]`
[no-cd, no-exit-message]
extend-tokenizer *args: (_setup "data" "training")
    @{{ python }} -P -m configs extend-tokenizer "$@"

# Show a tokenizer's fertility report, or how it cuts a text: `just tokenizer NAME [TEXT|FILE] [--against NAMES]`
[no-cd, no-exit-message]
tokenizer *args: (_setup "data" "training")
    @{{ python }} -P -m configs tokenizer "$@"

# Tokens of a corpus, packed for training: `just tokenize [NAME] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
tokenize *args: (_setup "data" "training")
    @{{ python }} -P -m configs tokenize "$@"

# What a run will read, settled beforehand: `just mixture [NAME] [tokens=… shares=… budget=…] [--dry-run]`
[no-cd, no-exit-message]
mixture *args: (_setup "data" "training")
    @{{ python }} -P -m configs mixture "$@"

# Print a mixture as a tree: `just show-mixture NAME`
[no-cd, no-exit-message]
show-mixture *args: (_setup "data" "training")
    @{{ python }} -P -m configs show-mixture "$@"

# Memory, steps, hours and cost of a pretraining run: `just estimate model=1b gpus=8 tokens=20e9 [price=2.5] | --models`
[no-cd, no-exit-message]
estimate *args: (_setup "data")
    @{{ python }} -P -m configs estimate "$@"

# Train a model: `just pretrain [RECIPE] [field=value …] [--dry-run]`; what is missing on the way is made first
[no-cd, no-exit-message]
pretrain *args: (_setup "data" "training")
    @{{ python }} -P -m configs pretrain "$@"

# Go on with a run from its last checkpoint: `just resume RUN [nproc=N] [skip=true] [step=N]`
[no-cd, no-exit-message]
resume *args: (_setup "data" "training")
    @{{ python }} -P -m configs resume "$@"

# Instruction and preference data, from files or the corpus: `just dataset [NAME] [input=FILE] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
dataset *args: (_setup "data")
    @{{ python }} -P -m configs dataset "$@"

# List the datasets of the home, with their kinds, rows and sources
[no-cd, no-exit-message]
datasets *args: (_setup "data")
    @{{ python }} -P -m configs datasets "$@"

# Instruction tuning: `just sft [MODEL] [dataset=NAME] [field=value …] [--dry-run]`; what is missing is made first
[no-cd, no-exit-message]
sft *args: (_setup "data" "training")
    @{{ python }} -P -m configs sft "$@"

# Learn from preferences: `just dpo [MODEL] [dataset=NAME] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
dpo *args: (_setup "data" "training")
    @{{ python }} -P -m configs dpo "$@"

# Learn from answers that are good or bad: `just kto [MODEL] [dataset=NAME] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
kto *args: (_setup "data" "training")
    @{{ python }} -P -m configs kto "$@"

# A reward model: `just reward [MODEL] [dataset=NAME] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
reward *args: (_setup "data" "training")
    @{{ python }} -P -m configs reward "$@"

# Learn by rewards that can be verified: `just grpo [MODEL] [dataset=NAME] [rewards=exact,format,code] [--dry-run]`
[no-cd, no-exit-message]
grpo *args: (_setup "data" "training")
    @{{ python }} -P -m configs grpo "$@"

# A small model from a larger one: `just distill MODEL teacher=NAME [mode=logits|on-policy] [dataset=NAME]`
[no-cd, no-exit-message]
distill *args: (_setup "data" "training")
    @{{ python }} -P -m configs distill "$@"

# Texts into classes: `just tune-classifier [MODEL] dataset=NAME [field=value …] [--dry-run]`
[no-cd, no-exit-message]
tune-classifier *args: (_setup "data" "training")
    @{{ python }} -P -m configs tune-classifier "$@"

# Fold an adapter into its base: `just merge MODEL [name=…]`
[no-cd, no-exit-message]
merge *args: (_setup "data" "training")
    @{{ python }} -P -m configs merge "$@"

# A part of a model's weights at 0, then recovery: `just prune MODEL [pattern=2:4] [steps=N] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
prune *args: (_setup "data" "training")
    @{{ python }} -P -m configs prune "$@"

# A smaller model and what it lost: `just quantize MODEL SCHEME [field=value …] [--dry-run]`
[no-cd, no-exit-message]
quantize *args: (_setup "data" "training" "serving")
    @{{ python }} -P -m configs quantize "$@"

# The smallest scheme that holds on this machine: `just compress-search MODEL [max_loss=1%] [field=value …]`
[no-cd, no-exit-message]
compress-search *args: (_setup "data" "training" "serving")
    @{{ python }} -P -m configs compress-search "$@"

# A model as an ONNX graph, compared with it: `just export-onnx MODEL [int8=true] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
export-onnx *args: (_setup "data" "training" "serving")
    @{{ python }} -P -m configs export-onnx "$@"

# Answers of a model to a file of prompts: `just generate MODEL PROMPTS.jsonl [field=value …] [--dry-run]`
[no-cd, no-exit-message]
generate *args: (_setup "data" "serving")
    @{{ python }} -P -m configs generate "$@"

# How well models answer the questions that a dataset holds out: `just exam MODEL [MODEL …] [dataset=…]`
[no-cd, no-exit-message]
exam *args: (_setup "data" "serving")
    @{{ python }} -P -m configs exam "$@"

# The whole story, from a crawl to an endpoint and back to a page: `just demo [--keep] [--dry-run]`
[no-cd, no-exit-message]
demo *args: (_setup "data" "training" "serving")
    @{{ python }} -P -m configs demo "$@"

# A model behind vLLM's OpenAI API: `just serve MODEL [port=8000] [field=value …] [--dry-run]`
[no-cd, no-exit-message]
serve *args: (_setup "data" "serving")
    @{{ python }} -P -m configs serve "$@"

# Live curves of a run in the terminal: `just watch RUN [--once]`
[no-cd, no-exit-message]
watch *args: (_setup "data" "training")
    @{{ python }} -P -m configs watch "$@"

# Write a run's HTML report anew: `just report RUN`
[no-cd, no-exit-message]
report *args: (_setup "data" "training")
    @{{ python }} -P -m configs report "$@"

# Which of two corpora makes the better model? `just ablate [web@2 web@1] [model=tiny tokens=1e6 seeds=3] [--dry-run]`
[no-cd, no-exit-message]
ablate *args: (_setup "data" "training")
    @{{ python }} -P -m configs ablate "$@"

# Ask the catalog: `just sql "SELECT …" [--format csv|json|parquet] [--out FILE]`; no query opens a shell
[no-cd, no-exit-message]
sql *args: (_setup "data")
    @{{ python }} -P -m catalog sql "$@"

# What an artifact was made from: `just trace corpora/docs@1`; of a run down to hosts, of an endpoint down to a page
[no-cd, no-exit-message]
trace *args: (_setup "data")
    @{{ python }} -P -m configs trace "$@"

# Hash every file of an artifact, or of all, against its record
[no-cd, no-exit-message]
verify *args: (_setup "data")
    @{{ python }} -P -m catalog verify "$@"

# List the artifacts of the home
[no-cd, no-exit-message]
ls *args: (_setup "data")
    @{{ python }} -P -m catalog ls "$@"

# Remove what dead builds left behind: `just gc [--dry-run] [--unused]`
[no-cd, no-exit-message]
gc *args: (_setup "data")
    @{{ python }} -P -m catalog gc "$@"

# Make the catalog anew from the records of the home
[no-cd, no-exit-message]
rebuild *args: (_setup "data")
    @{{ python }} -P -m catalog rebuild "$@"

# Look at this machine and this home; every line says what to do
[no-cd, no-exit-message]
doctor *args: (_setup "data")
    @{{ python }} -P -m catalog doctor "$@"

# Run the fast tests: `just test [PYTEST ARGUMENTS]`; `just test -m slow` runs the slow ones
[no-exit-message]
test *args: (_setup "data" "training" "dev" "bench")
    @{{ python }} -m pytest "$@"

# Format, lint, types, import direction and the fast tests
[no-exit-message]
check: (_setup "data" "training" "dev" "bench")
    .venv/bin/ruff format --check .
    .venv/bin/ruff check .
    .venv/bin/pyright
    .venv/bin/lint-imports
    {{ python }} -m pytest -q -n 2 --dist loadfile

# Measure: `just bench engine|signals|dedup …`, as ratios against named peers, into docs/benchmarks.md
[no-exit-message]
bench *args: (_setup "data" "training" "dev" "bench")
    @{{ python }} -m tests.bench "$@"

# Compile the exact pins of every group from one resolution (needs the package index)
[no-exit-message]
lock *args:
    requirements/compile "$@"

[no-exit-message]
_setup *groups:
    @requirements/install "$@"
