# The suite for the CPU, with the pinned packages: docker build -t initsuite . ; how to run it: docs/clusters.md
FROM python:3.12-slim
WORKDIR /opt/initsuite
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY conf conf
COPY src src
RUN pip install --no-cache-dir -c constraints.txt torch && pip install --no-cache-dir -c constraints.txt ".[slurm,search]"
WORKDIR /
ENTRYPOINT ["initsuite", "train"]
CMD ["-m", "init=zero,normal,xavier,he,orthogonal"]
