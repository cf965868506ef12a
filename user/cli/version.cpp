// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// anycast-xdp version
#include <CLI/CLI.hpp>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "cli/app.h"

namespace anycast::cli {

namespace {

Status run_version(const Context &context)
{
	const std::string libbpf = libbpf_version_string();
	if (context.json())
		context.print(
			{{"version", AX_VERSION}, {"abi", AX_ABI_VERSION}, {"libbpf", libbpf}});
	else
		context.print(fmt::format("anycast-xdp {} (map ABI {}, libbpf {})\n", AX_VERSION,
					  AX_ABI_VERSION, libbpf));
	return {};
}

} // namespace

void add_version(CLI::App &app, Action &chosen)
{
	CLI::App *command = app.add_subcommand("version", "Version of the program and of its maps");
	command->callback([&chosen] { chosen = run_version; });
}

} // namespace anycast::cli
