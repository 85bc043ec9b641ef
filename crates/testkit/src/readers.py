"""What the formats' own tools say of a document: prints every complaint, and nothing if there is none."""
import json
import sys

from packageurl import PackageURL


def purls(found):
    for text in found:
        again = PackageURL.from_string(text).to_string()
        if again != text:
            print(f"{text} is written {again}")


def spdx(document):
    from spdx_tools.spdx.parser.error import SPDXParsingError
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    try:
        parsed = JsonLikeDictParser().parse(document)
    except SPDXParsingError as error:
        return print(*error.get_messages(), sep="\n")
    for message in validate_full_spdx_document(parsed, "SPDX-2.3"):
        print(message.validation_message)
    purls(ref["referenceLocator"] for package in document["packages"] for ref in package.get("externalRefs", []))


def cyclonedx(document):
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    complaint = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    if complaint:
        return print(complaint)
    Bom.from_json(document).validate()
    purls(component["purl"] for component in document["components"] if "purl" in component)


def statement(document):
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    # Unknown fields and wrong types are errors here; what must not be empty the wrappers know.
    Statement.copy_from_pb(json_format.ParseDict(document, statement_pb2.Statement())).validate()
    predicate = document["predicate"]
    if document["predicateType"] == "https://spdx.dev/Document":
        return spdx(predicate)
    provenance = json_format.ParseDict(predicate, provenance_pb2.Provenance())
    for dependency in provenance.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(dependency).validate()
    if not provenance.build_definition.build_type or not provenance.run_details.builder.id:
        print("the build has no type or no builder")


with open(sys.argv[2], encoding="utf-8") as file:
    {"spdx": spdx, "cyclonedx": cyclonedx, "statement": statement}[sys.argv[1]](json.load(file))
