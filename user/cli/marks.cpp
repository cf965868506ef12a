// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cli/marks.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "core/mark_join.h"
#include "core/mark_json.h"
#include "kernel/mark_reader.h"
#include "net/control_client.h"
#include "render/marks.h"

namespace anycast::cli {

namespace {

using nlohmann::ordered_json;

constexpr std::chrono::milliseconds kAgentPatience{3000};

std::string host_name()
{
	char name[HOST_NAME_MAX + 1] = "";
	::gethostname(name, sizeof(name) - 1);
	return name;
}

} // namespace

Result<MarkReport> marks_of(const std::vector<Instance> &instances, bool with_flows)
{
	MarkReport report;
	const MarkClock clock = mark_clock();

	for (const Instance &instance : instances) {
		AX_TRY(read_marks(instance.dataplane, clock, report, with_flows));
		name_marks(report, instance.applied.config);
		if (report.node.empty())
			report.node = instance.applied.config.name;
	}
	if (report.node.empty())
		report.node = host_name();
	return report;
}

ordered_json pulled_marks(const Context &context, const std::vector<Instance> &instances)
{
	const auto none = [](const std::string &why) {
		return render::pulled_json({}, {}, {}, why);
	};
	if (std::ranges::none_of(instances, [](const Instance &instance) {
		    const Config &config = instance.applied.config;
		    return config.marking && (config.roles & AX_ROLE_EDGE);
	    }))
		return none("this node marks nothing: [tunnel] marking is off, or it is no edge");
	const auto paths = context.paths();
	if (!paths)
		return none(paths.error().what);
	ControlRequest request;
	request.command = "marks";
	const auto reply = ask_agent(paths->socket, request, kAgentPatience);
	if (!reply)
		return none(reply.error().what);
	if (!*reply)
		return none("no agent runs, which would ask the backends");
	if (!(*reply)->status)
		return none((*reply)->status.error().message());
	return (*reply)->result;
}

Status join_reports(const Context &context, const std::vector<std::string> &files,
		    std::size_t limit)
{
	std::vector<MarkReport> reports;

	for (const std::string &path : files) {
		std::ifstream file(path);
		const std::string text{std::istreambuf_iterator<char>(file), {}};
		if (!file)
			return fail(Exit::kUsage, fmt::format("{}: cannot be read", path));
		auto report = parse_marks(text);
		if (!report) {
			Error error = std::move(report.error());
			error.what = fmt::format("{}: {}", path, error.what);
			error.kind = Exit::kUsage;
			return tl::unexpected(std::move(error));
		}
		reports.push_back(std::move(*report));
	}
	const MarkJoin join = join_marks(reports);
	if (context.json())
		context.print(render::mark_join_json(join, limit));
	else
		context.print(render::mark_join_text(join, limit));
	return {};
}

} // namespace anycast::cli
