"""The examples of the documentation as programs: for each language, what its reader does before she runs one."""

import json
import os
import re
import shlex
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api_commands import GATEWAY, SERVER
from api_examples import Example
from api_languages import LANGUAGES

from tests.e2e.circle import Person
from tests.gateway.commands import run_command
from tests.gateway.front import Front
from tests.gateway.typescript_package import build_package, install_package

ROOT = Path(__file__).resolve().parents[2]
GO_CLIENT = ROOT / "clients" / "go"
KOTLIN_CLIENT = ROOT / "clients" / "kotlin"
TOOLS = ROOT / ".build" / "bin"
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"


COMPILER_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>svoykrug</groupId>
  <artifactId>compiler</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.jetbrains.kotlin</groupId>
      <artifactId>kotlin-compiler-embeddable</artifactId>
      <version>VERSION</version>
    </dependency>
  </dependencies>
</project>
"""
"""Where Maven finds the compiler of Kotlin."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a reader tries examples.

    Attributes:
        folder: Her folder.
        front: The server and its gateway.
        person: Who she is.
        examples: Every example by the name of its method.
    """

    folder: Path
    front: Front
    person: Person
    examples: Mapping[str, Example]

    def write(self, name: str, text: str) -> None:
        """Writes a file."""
        (self.folder / name).write_text(text, "utf-8")


class Language(ABC):
    """A language or a tool of the documentation.

    Attributes:
        name: What it is called there.
    """

    name: str

    def text(self, desk: Desk, example: Example) -> str:
        """Returns an example that calls the server of the test instead of that of the documentation."""
        shown = LANGUAGES[self.name](example)
        return shown.replace(GATEWAY, desk.front.at("")).replace(SERVER, desk.front.circle.target)

    @abstractmethod
    async def prepare(self, desk: Desk) -> None:
        """Installs what the examples need, and keeps the session where they look for it."""

    @abstractmethod
    def command(self, desk: Desk, example: Example) -> tuple[str, ...]:
        """Returns the command that runs an example."""


class Shell(Language):
    """Commands, which get the access token as a variable.

    Args:
        name: What the tool is called in the documentation.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    async def prepare(self, desk: Desk) -> None:
        """Puts the tools on the path; curl is told not to hold back what it received."""
        desk.write(".curlrc", "silent\nno-buffer\n")
        if self.name == "grpcurl":
            await install_grpcurl(desk.folder)

    def command(self, desk: Desk, example: Example) -> tuple[str, ...]:
        """Returns the command in a shell that knows the token."""
        path = os.pathsep.join([str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = {"HOME": str(desk.folder), "PATH": path, "TOKEN": desk.person.tokens.access_token}
        settings = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        return ("sh", "-c", f"{settings}exec {self.text(desk, example)}")


async def install_grpcurl(folder: Path) -> None:
    """Builds grpcurl among the tools, when it is not there."""
    if not (TOOLS / "grpcurl").exists():
        await run_command(folder, "go", "install", GRPCURL, GOBIN=str(TOOLS))


class Python(Language):
    """Programs of the Python client."""

    name = "Python"

    async def prepare(self, desk: Desk) -> None:
        """Keeps the session where `FileTokenStore` finds it."""
        tokens = desk.person.tokens
        session = {"user_id": desk.person.user_id, "refresh_token": tokens.refresh_token, "request_id": ""}
        desk.write("session.json", json.dumps(session))

    def command(self, desk: Desk, example: Example) -> tuple[str, ...]:
        """Returns the command that runs the program as it stands."""
        return (sys.executable, "-u", "-c", self.text(desk, example))


class TypeScript(Language):
    """Programs of the TypeScript client, which Node runs with a `localStorage` that is a file."""

    name = "TypeScript"

    async def prepare(self, desk: Desk) -> None:
        """Installs the package, and keeps the session where `StorageTokenStore` finds it."""
        await build_package()
        install_package(desk.folder)
        shutil.copy(Path(__file__).with_name("local_storage.mjs"), desk.folder)
        tokens = desk.person.tokens
        session = {"userId": desk.person.user_id, "refreshToken": tokens.refresh_token, "requestId": ""}
        desk.write("local_storage.json", json.dumps({"svoykrug.session": json.dumps(session)}))

    def command(self, desk: Desk, example: Example) -> tuple[str, ...]:
        """Returns the command that runs the program as it stands: it names no types."""
        name = f"{example.method.name}.mjs"
        desk.write(name, self.text(desk, example))
        return ("node", "--import", "./local_storage.mjs", name)


class Go(Python):
    """Programs of the Go client, which shares the session with that in Python."""

    name = "Go"

    async def prepare(self, desk: Desk) -> None:
        """Builds one program of every example: to link each would take longer than everything else."""
        await super().prepare(desk)
        texts = {name: self.text(desk, example) for name, example in desk.examples.items()}
        write_go(desk.folder, texts)
        await run_command(desk.folder, "go", "build", "-o", "examples", ".")

    def command(self, desk: Desk, example: Example) -> tuple[str, ...]:
        """Returns the command that runs the program of an example."""
        return (str(desk.folder / "examples"), example.method.name)


class Kotlin(Python):
    """Programs of the Kotlin client, compiled together; the session is that of the client in Python."""

    name = "Kotlin"

    async def prepare(self, desk: Desk) -> None:
        """Compiles every example, each in a package of its own."""
        await super().prepare(desk)
        await compile_kotlin(desk.folder, {name: self.text(desk, example) for name, example in desk.examples.items()})

    def command(self, desk: Desk, example: Example) -> tuple[str, ...]:
        """Returns the command that runs the program of an example."""
        classpath = f"classes:{(desk.folder / 'libraries.txt').read_text()}"
        name = example.method.name
        return ("java", "-cp", classpath, f"{name}.{name}Kt")


async def compile_kotlin(folder: Path, texts: dict[str, str]) -> None:
    """Compiles the client, then the programs of methods with the compiler that the client is compiled with."""
    for name, text in texts.items():
        (folder / f"{name}.kt").write_text(f"package {name}\n\n{text}", "utf-8")
    pom = (KOTLIN_CLIENT / "pom.xml").read_text("utf-8")
    [version] = re.findall(r"<kotlin.version>(.+)</kotlin.version>", pom)
    (folder / "pom.xml").write_text(COMPILER_POM.replace("VERSION", version), "utf-8")
    libraries, compiler = (folder / name for name in ("libraries.txt", "compiler.txt"))
    maven = ("mvn", "--batch-mode", "--quiet")
    classpath = "dependency:build-classpath"
    await run_command(
        KOTLIN_CLIENT, *maven, "compile", classpath, "-DincludeScope=runtime", f"-Dmdep.outputFile={libraries}"
    )
    await run_command(folder, *maven, classpath, f"-Dmdep.outputFile={compiler}")
    libraries.write_text(f"{KOTLIN_CLIENT / 'target' / 'classes'}:{libraries.read_text()}")
    options = ("-no-stdlib", "-no-reflect", "-jvm-target", "17", "-cp", libraries.read_text(), "-d", "classes")
    program = ("java", "-cp", compiler.read_text(), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler")
    await run_command(folder, *program, *options, *(f"{name}.kt" for name in texts))


def write_go(folder: Path, texts: dict[str, str]) -> None:
    """Writes the programs of methods as functions of one program, which is told the name of the method."""
    version = "go 1.26.0\n"
    files = {
        f"{name.lower()}_example.go": text.replace("func main()", f"func example{name}()")
        for name, text in texts.items()
    }
    cases = "".join(f'\tcase "{name}":\n\t\texample{name}()\n' for name in texts)
    main = f'package main\n\nimport "os"\n\nfunc main() {{\n\tswitch os.Args[1] {{\n{cases}\t}}\n}}\n'
    files |= {
        "main.go": main,
        "go.mod": f"module examples\n\n{version}",
        "go.work": f"{version}\nuse .\nuse {GO_CLIENT}\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")


RUN: tuple[Language, ...] = (
    *(Shell(name) for name in ("curl", "grpcurl", "buf curl")),
    *(Python(), TypeScript(), Kotlin(), Go()),
)
