# Rows as columns of one width: [["name", "state"], ["a", "open"]] | table. Lengths are counted in characters.
def pad($width): . + " " * ([$width - length, 0] | max);
def cell: if . == null then "-" elif type == "string" then . else tojson end;
def table:
  map(map(cell))
  | [transpose[] | map(length) | max] as $widths
  | .[] | [., $widths] | transpose | map(.[0] as $text | .[1] as $width | $text | pad($width))
  | "  " + (join("  ") | sub(" +$"; ""));
# How often each value occurs, most often first.
def counted: group_by(.) | map([.[0], length]) | sort_by(-.[1]);
# 2026-01-02T03:04:05.678Z → 03:04:05
def clock: if . == null then null else .[11:19] end;
