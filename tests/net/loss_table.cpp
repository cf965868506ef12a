// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `make test-loss`: every row of the loss figures' proof, printed and written between the markers
// of the file that is named (docs/loss.md). Ends with 1 if one row does not hold.
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <sstream>
#include <string>

#include <sys/utsname.h>

#include <fmt/format.h>

#include "support/isolation.h"
#include "support/loss_rows.h"

namespace anycast::test {

namespace {

constexpr std::string_view kBegin = "<!-- make test-loss: begin -->\n";
constexpr std::string_view kEnd = "<!-- make test-loss: end -->\n";

// What a row came to, from the lab's process back to this one.
LossCell run_apart(const LossRow &row, std::string &text)
{
	const std::string path = fmt::format("/tmp/loss-row.{}", getpid());
	const int status = run_isolated([&] {
		try {
			const LossCell cell = run_row(row, false);
			std::ofstream(path) << text_of(row, cell) << "\n" << cell.other << "\n";
			return cell.good ? 0 : 1;
		} catch (const std::exception &error) {
			std::fprintf(stderr, "%s: %s\n", row.injected.c_str(), error.what());
			return 2;
		}
	});
	LossCell cell;
	cell.good = status == 0;
	std::ifstream file(path);
	std::getline(file, text);
	std::getline(file, cell.other);
	unlink(path.c_str());
	return cell;
}

bool write_between_markers(const char *path, const std::string &table)
{
	std::stringstream whole;
	whole << std::ifstream(path).rdbuf();
	std::string text = whole.str();
	const auto begin = text.find(kBegin), end = text.find(kEnd);
	if (begin == text.npos || end == text.npos || end < begin) {
		std::fprintf(stderr, "%s: the markers of make test-loss are not there\n", path);
		return false;
	}
	text.replace(begin + kBegin.size(), end - begin - kBegin.size(), table);
	std::ofstream out(path);
	out << text << std::flush;
	return out.good();
}

int whole_table(const char *docs, const std::string &only)
{
	std::string table = "| injected | metric | segments | truth | reported | error | allowed | "
			    "holds |\n|---|---|--:|--:|--:|--:|--:|---|\n";
	int bad = 0, rows = 0;
	const auto start = std::chrono::steady_clock::now();
	std::fputs(table.c_str(), stdout);
	for (const LossRow &row : loss_rows()) {
		if (row.injected.find(only) == std::string::npos)
			continue;
		const auto began = std::chrono::steady_clock::now();
		std::string text;
		const LossCell cell = run_apart(row, text);
		const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
		bad += !cell.good;
		rows++;
		table += text + "\n";
		std::printf("%s\n    %.0f s; %s\n", text.c_str(), took.count(), cell.other.c_str());
		std::fflush(stdout);
	}
	const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
	utsname machine{};
	uname(&machine);
	table += fmt::format("\n{} of {} rows hold; kernel {}, {:.0f} s.\n", rows - bad, rows,
			     machine.release, took.count());
	std::printf("%d of %d rows hold, %.0f s\n", rows - bad, rows, took.count());
	if (rows == 0) {
		std::fprintf(stderr, "no row has \"%s\" in its name\n", only.c_str());
		return 2;
	}
	if (docs != nullptr && !write_between_markers(docs, table))
		return 2;
	return bad == 0 ? 0 : 1;
}

} // namespace

} // namespace anycast::test

// usage: loss_table FILE | loss_table --only TEXT
int main(int argc, char **argv)
{
	if (argc == 3 && std::string_view(argv[1]) == "--only")
		return anycast::test::whole_table(nullptr, argv[2]);
	if (argc == 2)
		return anycast::test::whole_table(argv[1], "");
	std::fprintf(stderr, "usage: %s FILE | %s --only TEXT\n", argv[0], argv[0]);
	return 2;
}
