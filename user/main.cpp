// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The only place that turns an Error into an exit code.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/app.h"

int main(int argc, char **argv)
{
	using anycast::Exit;

	std::ios::sync_with_stdio(false);
	try {
		const auto status = anycast::cli::run(
			std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), std::cout,
			std::cerr);
		std::cout.flush();
		if (!status) {
			if (status.error().kind != Exit::kChanged)
				std::cerr << "anycast-xdp: " << status.error().message() << '\n';
			return static_cast<int>(status.error().kind);
		}
		if (!std::cout) {
			std::cerr << "anycast-xdp: could not write to stdout\n";
			return static_cast<int>(Exit::kFailed);
		}
		return static_cast<int>(Exit::kOk);
	} catch (const std::exception &error) {
		std::cerr << "anycast-xdp: internal error: " << error.what() << '\n';
		return static_cast<int>(Exit::kFailed);
	}
}
