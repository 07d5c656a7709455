#!/usr/bin/env bash
# Fetches the jars of an Apache Kafka broker with Maven into target/kafka/libs. Does nothing when they are there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=$(cd "$here/../.." && pwd)/target/kafka
stamp=$(cksum <"$here/pom.xml")

if [[ -f $kafka/libs/.stamp && $(<"$kafka/libs/.stamp") == "$stamp" ]]; then
    exit 0
fi
for tool in java mvn; do
    command -v "$tool" >/dev/null || {
        echo "kafka: no \`$tool\`: a Java runtime (17 or newer) and Maven are needed to run Apache Kafka" >&2
        exit 1
    }
done

echo "kafka: fetching Apache Kafka (about 45 MB)" >&2
mkdir -p "$kafka"
new=$(mktemp -d "$kafka/libs.XXXXXX")
trap 'rm -rf "$new"' EXIT
mvn --batch-mode --quiet -Dstyle.color=never --file "$here/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$new" >&2
echo "$stamp" >"$new/.stamp"
rm -rf "$kafka/libs"
mv "$new" "$kafka/libs"
