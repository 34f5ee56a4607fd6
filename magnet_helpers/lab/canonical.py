"""Definitions as canonical texts: the same in Python 3.11 to 3.14, whatever their comments, layout and imports.

`code_version` hashes these texts. This module, too, needs the standard library only.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

PACKAGE = "magnet_helpers"
_IS_SHARED = "global"  # instead of a path: a function's `global` statement
_LEFT_OUT = {"ctx", "kind", "type_comment"}
_NO_TEXT = "str:''"
_MARKS = {"ClassVar", "InitVar", "KW_ONLY"}  # annotations that change what a dataclass does
Scope = Mapping[str, str]  # a name to the dotted path that it was imported from; to "" if it is local
Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def is_ours(path: str) -> bool:
    """Return whether a dotted path leads into this package."""
    return path == PACKAGE or path.startswith(f"{PACKAGE}.")


class Writer:
    """Writes the canonical text of one statement at the top of a module, and notes what it names.

    A name that stands for a definition of this package is written as the definition's own name, a name from another
    package as its full path. Left out are docstrings, imports and annotations, which are noted as `types`.

    Args:
        names: what the module's names stand for, as dotted paths.
        package: the full name of the package that the module is in, for relative imports.
        follow: returns where a path is defined, through re-exports, whose modules it adds to the set.
        is_module: whether a path is a module of this package.
    """

    def __init__(
        self, names: Scope, package: str, follow: Callable[[str, set[str]], str], is_module: Callable[[str], bool]
    ) -> None:
        self._names, self._package, self._follow, self._is_module = names, package, follow, is_module
        self.named: list[str] = []  # paths in this package, in the order of the text
        self.types: list[str] = []  # the same of annotations
        self.passed: set[str] = set()  # modules that names came through

    def write(self, node: object, scope: Scope) -> str:
        """Return the text of a syntax tree, of a list of them, or of what else a field holds."""
        match node:
            case list():
                texts = (self.write(part, scope) for part in node if not has_no_effect(part))
                return f"[{','.join(text for text in texts if text)}]"
            case ast.Name() | ast.Attribute() if path := self.path(node, scope):
                if not is_ours(path):
                    return f"={path}"
                self.named.append(path)
                return f"@{path.rpartition('.')[2]}"
            case ast.Constant(value=value):  # `repr` of a text depends on Python's edition of Unicode
                return f"{type(value).__name__}:{value!a}"
            case ast.JoinedStr(values=values):
                return self._joined(values, scope)
            case ast.FormattedValue(value=value, conversion=conversion, format_spec=form):
                form_text = _NO_TEXT if form is None else self.write(form, scope)
                return f"{{{self.write(value, scope)}!{conversion}:{form_text}}}"
            case ast.Call(func=function) if (path := self.path(function, scope)) and path.endswith(".code_version"):
                return "a version"  # its entries are no part of what asks for it
            case ast.Call(func=function, args=[kind, value]) if self.path(function, scope) == "typing.cast":
                self.annotation(kind, scope)
                return self.write(value, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._function(node, scope, scope)
            case ast.ClassDef():
                return self._class(node, scope)
            case ast.Lambda(args=arguments, body=body):
                inside = {**scope, **{argument.arg: "" for argument in _parameters(arguments)}}
                return f"Lambda({self.write(arguments, scope)},{self.write(body, inside)})"
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self.annotation(annotation, scope)
                return self._node("Assign", scope, {"targets": [target], "value": value}) if value else ""
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node, scope)
            case ast.If(test=test, orelse=otherwise) if self.path(test, scope) == "typing.TYPE_CHECKING":
                return self.write(otherwise, scope)
            case ast.arg(arg=name):
                return name
            case ast.AST():
                return self._node(type(node).__name__, scope, dict(ast.iter_fields(node)))
        return ascii(node)

    def path(self, node: ast.AST, scope: Scope) -> str:
        """Return the dotted path of what a name or an attribute stands for; "" if it is local, built in, or computed.

        Raises:
            ValueError: if this package has no such definition.
        """
        match node:
            case ast.Name(id=name):
                path = scope[name] if name in scope else self._names.get(name, "")
            case ast.Attribute(value=value, attr=name):
                base = self.path(value, scope)
                path = f"{base}.{name}" if base and (not is_ours(base) or self._is_module(base)) else ""
            case _:
                path = ""
        return self._follow(path, self.passed)

    def annotation(self, node: ast.AST | None, scope: Scope) -> None:
        """Note the types that an annotation names, also in quotes."""
        match node:
            case ast.Constant(value=str(text)):
                try:
                    tree = ast.parse(text.strip(), mode="eval")
                except SyntaxError:
                    return  # words, no type
                self.annotation(tree.body, scope)
            case ast.Name() | ast.Attribute():
                path = self.path(node, scope)
                self.types += [path] if is_ours(path) else []
            case ast.Subscript(value=value) if self.path(value, scope) == "typing.Literal":
                return
            case ast.AST():
                for part in ast.iter_child_nodes(node):
                    self.annotation(part, scope)

    def _node(self, kind: str, scope: Scope, fields: Mapping[str, object]) -> str:
        texts = [(name, self.write(fields[name], scope)) for name in sorted(fields) if name not in _LEFT_OUT]
        return f"{kind}({','.join(f'{name}={text}' for name, text in texts if text not in ('None', '[]'))})"

    def _joined(self, values: Iterable[ast.expr], scope: Scope) -> str:
        """Return the text of an f-string, whose constant parts each Python divides as it likes."""
        texts, constant = [], ""
        for value in values:
            if isinstance(value, ast.Constant):
                constant += str(value.value)
                continue
            texts += [f"str:{constant!a}", self.write(value, scope)]
            constant = ""
        texts.append(f"str:{constant!a}")
        return texts[0] if len(texts) == 1 else f"JoinedStr({','.join(text for text in texts if text != _NO_TEXT)})"

    def _bound(self, nodes: Iterable[ast.stmt]) -> dict[str, str]:
        bound: dict[str, str] = {}
        for node in nodes:
            for name, path in bound_names(node, self._package):
                bound[name] = path or bound.get(name, "")  # imported in one branch, assigned in the other: imported
        return bound

    def _function(self, node: Function, scope: Scope, around: Scope) -> str:
        """Return the text of a function whose decorators and defaults see `scope`, and whose body sees `around`."""
        parameters = _parameters(node.args)
        for annotation in (*(parameter.annotation for parameter in parameters), node.returns):
            self.annotation(annotation, around)
        inside = {**around, **{parameter.arg: "" for parameter in parameters}, **self._bound(node.body)}
        inside = {name: path for name, path in inside.items() if path != _IS_SHARED}
        head = {"name": node.name, "args": node.args, "decorators": node.decorator_list}
        return self._node(type(node).__name__, scope, head) + self.write(node.body, inside)

    def _class(self, node: ast.ClassDef, scope: Scope) -> str:
        inside = {**scope, **self._bound(node.body)}
        head = {"name": node.name, "bases": node.bases, "keywords": node.keywords, "decorators": node.decorator_list}
        texts = [self._node("ClassDef", scope, head)]
        for part in node.body:
            match part:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    texts.append(self._function(part, inside, scope))
                case ast.AnnAssign(annotation=annotation):  # a dataclass's field, with or without a default
                    self.annotation(annotation, scope)
                    words = {getattr(word, "id", getattr(word, "attr", "")) for word in ast.walk(annotation)}
                    kind = "".join(["Field", *sorted(words & _MARKS)])
                    texts.append(self._node(kind, inside, {"target": part.target, "value": part.value}))
                case _ if not has_no_effect(part):
                    texts.append(self.write(part, inside))
        return f"[{','.join(texts)}]"

    def _comprehension(self, node: Comprehension, scope: Scope) -> str:
        first = self.write(node.generators[0].iter, scope)  # all else sees the comprehension's own names
        targets = [part for generator in node.generators for part in ast.walk(generator.target)]
        inside = {**scope, **{part.id: "" for part in targets if isinstance(part, ast.Name)}}
        return f"{first}:{self._node(type(node).__name__, inside, dict(ast.iter_fields(node)))}"


def _parameters(node: ast.arguments) -> list[ast.arg]:
    return [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.arg)]


def has_no_effect(node: object) -> bool:
    """Return whether a statement is an import, a docstring, or for type checkers alone."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=[]):
            return True
    return False


def bound_names(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Yield each name that a statement binds where it stands, with the dotted path that it imports, "" or `_IS_SHARED`.

    Args:
        node: what is inside its functions, classes and comprehensions binds no name here.
        package: the full name of the package that it stands in.

    Raises:
        ValueError: if it imports `*` from this package.
    """
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        case ast.ImportFrom(module=module, names=names, level=level):
            parents = package.split(".")
            origin = ".".join([*parents[: len(parents) + 1 - level], module or ""]).strip(".") if level else module
            for alias in names:
                if alias.name == "*" and is_ours(f"{origin}"):
                    raise ValueError(f"import each name from {origin}: * hides which definitions are meant")
                yield alias.asname or alias.name, f"{origin}.{alias.name}"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, ""
        case ast.Name(id=name, ctx=ctx):
            if not isinstance(ctx, ast.Load):
                yield name, ""
        case ast.Global(names=shared):
            yield from ((name, _IS_SHARED) for name in shared)
        case ast.Lambda():
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for part in ast.walk(node):
                if isinstance(part, ast.NamedExpr) and isinstance(part.target, ast.Name):
                    yield part.target.id, ""
        case _:
            for field in ("name", "rest"):  # of patterns and `except … as`
                if isinstance(bound := getattr(node, field, None), str):
                    yield bound, ""
            for part in ast.iter_child_nodes(node):
                yield from bound_names(part, package)
