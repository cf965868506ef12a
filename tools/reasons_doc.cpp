// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Writes docs/reasons.md and docs/malformed.md from the reason table: `reasons_doc
// reasons|malformed`.
#include <cstdio>
#include <string_view>

#include "core/reasons.h"

using namespace anycast;

namespace {

const char *action_name(ax_action action)
{
	return action == AX_ACTION_DROP ? "drop" : action == AX_ACTION_COUNT ? "count" : "off";
}

const char *class_name(ax_reason_class cls)
{
	switch (cls) {
	case AX_CLASS_PASS:
		return "pass";
	case AX_CLASS_STEER:
		return "steer";
	case AX_CLASS_DROP:
		return "drop";
	case AX_CLASS_RULE:
		return "rule";
	default:
		return "note";
	}
}

void print(std::string_view text)
{
	std::fwrite(text.data(), 1, text.size(), stdout);
}

void reasons_table()
{
	print("# Reasons\n\nGenerated from `include/anycast_xdp/reasons.h` by `make docs`; do not "
	      "edit.\n\n"
	      "Every packet is counted under exactly one reason of class pass, steer, drop or "
	      "rule. A "
	      "rule that only counts, and notes, are counted besides.\n\n"
	      "| number | reason | class | source | meaning |\n|---|---|---|---|---|\n");
	for (const ReasonInfo &reason : reasons()) {
		std::printf("| %d | `%.*s` | %s | %.*s | %.*s |\n", reason.number,
			    static_cast<int>(reason.label.size()), reason.label.data(),
			    class_name(reason.cls), static_cast<int>(reason.source.size()),
			    reason.source.data(), static_cast<int>(reason.help.size()),
			    reason.help.data());
	}
}

void malformed_table()
{
	print("# Malformed packets\n\nGenerated from `include/anycast_xdp/reasons.h` by `make "
	      "docs`; do "
	      "not edit.\n\nEach rule is one row. `[guard.rules]` overrides its action by name "
	      "(`drop`, "
	      "`count`, `off`); `apply` switches it while packets flow. A rule that counts leaves "
	      "the "
	      "packet alone; where it makes the rest unreadable, the packet passes as `opaque` and "
	      "is "
	      "never steered.\n\n"
	      "| rule | default | source | what breaks it |\n|---|---|---|---|\n");
	for (const ReasonInfo &reason : reasons()) {
		if (reason.cls != AX_CLASS_RULE)
			continue;
		std::printf("| `%.*s` | %s | %.*s | %.*s |\n",
			    static_cast<int>(reason.label.size()), reason.label.data(),
			    action_name(reason.default_action),
			    static_cast<int>(reason.source.size()), reason.source.data(),
			    static_cast<int>(reason.help.size()), reason.help.data());
	}
}

} // namespace

int main(int argc, char **argv)
{
	if (argc == 2 && std::string_view(argv[1]) == "malformed")
		malformed_table();
	else
		reasons_table();
}
