// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp features
#include "kernel/features.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/utsname.h>

#include "cli/app.h"
#include "render/table.h"

namespace anycast::cli {

namespace {

std::string kernel_release()
{
	utsname name{};
	return ::uname(&name) == 0 ? name.release : "";
}

Status run_features(const Context &context)
{
	std::string missing;
	nlohmann::ordered_json list = nlohmann::ordered_json::array();
	render::Table table({{"FEATURE"}, {"HERE"}, {"USED FOR"}, {"WITHOUT IT"}});
	for (const Feature &feature : features()) {
		list.push_back({{"feature", feature.name},
				{"available", feature.available},
				{"required", feature.required},
				{"used", feature.used},
				{"used_for", feature.used_for},
				{"fallback", feature.fallback},
				{"detail", feature.detail}});
		const std::string here = feature.available ? "yes"
					 : feature.detail.empty()
						 ? "no"
						 : fmt::format("no ({})", feature.detail);
		table.row({std::string(feature.name), here, std::string(feature.used_for),
			   feature.required ? "nothing works"
			   : feature.used   ? std::string(feature.fallback)
					    : "the same: not used"});
		if (feature.required && !feature.available)
			missing += (missing.empty() ? "" : ", ") + std::string(feature.name);
	}
	if (context.json())
		context.print({{"kernel", kernel_release()}, {"features", std::move(list)}});
	else
		context.print(fmt::format("kernel {}\n\n{}", kernel_release(), table.text()));
	if (!missing.empty())
		return fail(Exit::kUnsupported, "required, and not available: " + missing,
			    "without privileges every probe fails: run it as root");
	return {};
}

} // namespace

void add_features(CLI::App &app, Action &chosen)
{
	CLI::App *command =
		app.add_subcommand("features", "What this kernel can do, found out by trying");
	command->footer("Exits with 4 if something is missing that nothing works without.");
	command->callback([&chosen] { chosen = run_features; });
}

} // namespace anycast::cli
