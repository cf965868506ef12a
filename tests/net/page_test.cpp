// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The status page in a browser. AX_PAGE_SCREENSHOT=FILE.png keeps what it looked like.
#include <unistd.h>

#include <filesystem>

#include "net/agent_lab.h"

namespace anycast::test {

TEST(Page, RendersInChromium)
{
	ASSERT_EQ(access("/usr/bin/chromium", X_OK), 0)
		<< "chromium is in tools/packages: make deps";
	in_lab([] {
		AgentLab lab;
		lab.agent_section = "[agent]\nhttp_address = \"127.0.0.1\"\n";
		lab.write();
		lab.node.ip("link set lo up");
		lab.cli.expect(lab.node, {"attach", "eth0", "--config", lab.config});
		lab.start();
		setenv("HOME", kLabDir, 1);
		const auto chromium = [&](const std::string &what) {
			return run(lab.node,
				   {"chromium", "--headless", "--no-sandbox", "--disable-gpu",
				    "--disable-dev-shm-usage", "--window-size=1200,1000",
				    "--enable-logging=stderr", what, "http://127.0.0.1:9180/"},
				   {}, milliseconds(60000) * slowness());
		};
		const Output dom = chromium("--dump-dom");
		EXPECT_THAT(dom.out, testing::HasSubstr("198.51.100.80")) << dom.err;
		EXPECT_THAT(dom.out, testing::HasSubstr("announced"));
		EXPECT_THAT(dom.err, testing::Not(testing::HasSubstr("CONSOLE")))
			<< "the page breaks its own Content-Security-Policy, or worse";
		const std::string file = std::string(kLabDir) + "/page.png";
		const Output shot = chromium("--screenshot=" + file);
		ASSERT_TRUE(std::filesystem::exists(file)) << shot.err;
		EXPECT_GT(std::filesystem::file_size(file), 5000U) << "an empty page";
		if (const char *keep = std::getenv("AX_PAGE_SCREENSHOT"))
			std::filesystem::copy_file(
				file, keep, std::filesystem::copy_options::overwrite_existing);
	});
}

} // namespace anycast::test
