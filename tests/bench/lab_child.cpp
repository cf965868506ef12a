// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bench/lab_child.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "support/isolation.h"
#include "util/fd.h"

namespace anycast::bench {

Result<nlohmann::json> in_lab(const std::function<nlohmann::json()> &body)
{
	const Fd memory(memfd_create("bench", MFD_CLOEXEC));
	std::string text;
	std::array<char, 4096> buffer{};

	if (!memory.valid())
		return fail_errno("make a file in memory", errno);
	test::run_isolated([&] {
		nlohmann::json out;
		try {
			out["result"] = body();
		} catch (const std::exception &error) {
			out["error"] = error.what();
		}
		const std::string all = out.dump();
		return ::write(memory.get(), all.data(), all.size()) ==
				       static_cast<ssize_t>(all.size())
			       ? 0
			       : 1;
	});
	::lseek(memory.get(), 0, SEEK_SET);
	for (ssize_t got = 0; (got = ::read(memory.get(), buffer.data(), buffer.size())) > 0;)
		text.append(buffer.data(), static_cast<std::size_t>(got));
	const auto json = nlohmann::json::parse(text, nullptr, false);
	if (!json.is_object())
		return fail(Exit::kFailed, "the lab ended without a result");
	if (json.contains("error"))
		return fail(Exit::kFailed, "in the lab: " + json["error"].get<std::string>());
	return json["result"];
}

} // namespace anycast::bench
